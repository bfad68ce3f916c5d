// Where a Nextcloud keeps its files, and which of them its file cache names.
import { join, relative } from 'node:path';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { cannot } from '../../lib/errors.ts';
import { isBelow } from './atlassian-home.ts';
import type { CrossCheck, TreeSource } from './define-agent.ts';
import type { HostView } from './host-view.ts';
import { type NextcloudConfiguration, prefixOf } from './nextcloud-configuration.ts';
import { isArray } from './php-values.ts';

/** Nextcloud itself refuses a data directory that has none of them. */
const MARKS = ['.ocdata', '.ncdata'];
/** Below the data directory: what is made anew, logs, half-done uploads. */
const LEFT_OUT = ['appdata_*/preview', 'updater-*', 'nextcloud.log*', '*/cache', '*/uploads'];

/** @returns the apps in a directory that do not come with Nextcloud, which a new one would lack */
function ownApps(root: string, view: HostView): string[] {
  const list = join(root, 'core/shipped.json');
  if (!view.exists(list)) return [];
  const { shippedApps = [] } = JSON.parse(view.readText(list)) as { shippedApps?: string[] };
  return view.names(join(root, 'apps')).filter((name) => !shippedApps.includes(name));
}

/**
 * @returns data, configuration, themes and the apps that Nextcloud doesn't bring itself
 * @throws file-unreadable where the data directory is empty: a disk that is not mounted
 */
export function nextcloudTrees(
  configuration: NextcloudConfiguration,
  configDirectory: string,
  view: HostView,
): TreeSource[] {
  const { root, dataDirectory, value } = configuration;
  const isTheirs = MARKS.some((name) => view.exists(join(dataDirectory, name)));
  if (!isTheirs && view.exists(dataDirectory)) {
    const cause = `it has no ${MARKS[0]}, which Nextcloud puts there`;
    throw cannot('file-unreadable', 'read data directory', dataDirectory, cause, {
      hint: 'is its disk mounted?',
    });
  }
  const data: TreeSource = { name: 'data', root: dataDirectory, excludes: [...LEFT_OUT] };
  const paths = value('apps_paths');
  const apps = (isArray(paths) ? [...paths.values()] : [])
    .map((entry) => (isArray(entry) ? entry.get('path') : undefined))
    .filter((path) => typeof path === 'string');
  const wanted = [
    configDirectory,
    ...['custom_apps', 'themes', '.htaccess', '.user.ini'].map((name) => join(root, name)),
    ...ownApps(root, view).map((name) => join(root, 'apps', name)),
    ...apps.filter((path) => relative(root, path) !== 'apps'),
  ];
  const site: TreeSource = { name: 'site', root, includes: [] };
  const apart: string[] = [];
  for (const path of new Set(wanted)) {
    const real = view.resolve(path);
    if (isBelow(real, dataDirectory)) continue;
    if (isBelow(real, root)) site.includes?.push(relative(root, real));
    else if (view.exists(real)) apart.push(real);
  }
  return [
    data,
    site,
    ...apart.map((path, index) => ({
      name: path === view.resolve(configDirectory) ? 'config' : `apps_${index + 1}`,
      root: path,
    })),
  ];
}

/**
 * A database of SQLite lies among the data: it comes back before them, so that the directory is no longer empty then, and
 * each part of it comes back by itself.
 */
export function withoutDatabase(data: TreeSource, database: DatabaseSource, view: HostView): TreeSource {
  if (database.engine !== 'sqlite') return data;
  const file = relative(data.root, (database.connection as { file: string }).file);
  const files = ['', '-wal', '-shm', '-journal'].map((suffix) => `${file}${suffix}`);
  const includes = view.names(data.root).filter((name) => !files.includes(name));
  return { ...data, includes };
}

/** @returns how rows of the users' own files are compared with the data directory */
export function fileCacheChecks(
  configuration: NextcloudConfiguration,
  { name: database, engine }: DatabaseSource,
): CrossCheck[] {
  const quote = engine === 'mysql' ? '`' : '"';
  const quoted = (name: string): string => quote + name.replaceAll(quote, quote + quote) + quote;
  const schema = engine === 'postgres' ? '"public".' : '';
  const table = (name: string): string => `${schema}${quoted(`${prefixOf(configuration)}${name}`)}`;
  // an underscore stands for any character, which harms nothing here; escapes differ between engines
  const sql = `SELECT storage.id, cache.path FROM ${table('filecache')} cache
    JOIN ${table('storages')} storage ON storage.numeric_id = cache.storage
    JOIN ${table('mimetypes')} type ON type.id = cache.mimetype
    WHERE storage.id LIKE 'home::%' AND type.mimetype <> 'httpd/unix-directory'
      AND (cache.path LIKE 'files/%' OR cache.path LIKE 'files_versions/%' OR cache.path LIKE 'files_trashbin/%')
      AND NOT EXISTS (SELECT 1 FROM ${table('appconfig')} WHERE appid = 'user_ldap'
        AND configkey LIKE '%home_folder_naming_rule' AND configvalue LIKE 'attr:%')`;
  return [
    {
      database,
      tree: 'data',
      sql,
      // `home::` and the user's name; a long one stands as a digest, which names no directory
      pathsOf: ([storage = '', path = '']) => [`${storage.slice('home::'.length)}/${path}`],
      concerns: (path) => /^[^/]+\/files(_versions|_trashbin)?\//.test(path) && !path.startsWith('appdata_'),
    },
  ];
}
