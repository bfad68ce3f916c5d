// Gitea's app.ini, and Forgejo's: which database it names, where repositories and files lie. As in their own
// modules/setting. Variables GITEA__… need not be read: they are written into app.ini before the server starts.
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { cannot } from '../../lib/errors.ts';
import type { Withheld } from './define-agent.ts';
import type { HostView } from './host-view.ts';
import { type IniFile, parseGoIni } from './ini.ts';
import { memberName, notLiteral } from './sources.ts';

/** Where packages, installers and images have it. */
const CANDIDATES = [
  ...['/etc/gitea/app.ini', '/etc/gitea/conf/app.ini', '/etc/forgejo/app.ini', '/etc/forgejo/conf/app.ini'],
  ...[
    '/var/lib/gitea/custom/conf/app.ini',
    '/var/lib/forgejo/custom/conf/app.ini',
    '/data/gitea/conf/app.ini',
  ],
];

export interface GiteaConfiguration {
  file: string;
  ini: IniFile;
  isForgejo: boolean;
  /** Directories, absolute; links are not followed. */
  work: string;
  data: string;
  custom: string;
  repositories: string;
}

/**
 * @param file app.ini; undefined: the first that is found
 * @param workDir undefined: as app.ini or its place says
 */
export function readGiteaConfiguration(
  file: string | undefined,
  workDir: string | undefined,
  view: HostView,
): GiteaConfiguration {
  const found = file ?? CANDIDATES.find((path) => view.exists(path)) ?? (CANDIDATES[0] as string);
  const ini = parseGoIni(view.readText(found), found);
  const isForgejo = found.includes('/forgejo/');
  const inCustom = found.endsWith('/custom/conf/app.ini') ? dirname(dirname(found)) : undefined;
  const work =
    workDir ??
    (ini.value('DEFAULT', 'WORK_PATH') ||
      (inCustom === undefined ? `/var/lib/${isForgejo ? 'forgejo' : 'gitea'}` : dirname(inCustom)));
  const inWork = (path: string): string => (isAbsolute(path) ? path : join(work, path));
  const data = inWork(ini.value('server', 'APP_DATA_PATH') || 'data');
  return {
    ...{ file: found, ini, isForgejo, work, data },
    custom: inCustom ?? join(work, 'custom'),
    repositories: inWork(ini.value('repository', 'ROOT') || join(data, 'gitea-repositories')),
  };
}

/** @returns the database, and the schema that its tables are in */
export function giteaDatabase(configuration: GiteaConfiguration): { source: DatabaseSource; schema: string } {
  const { ini, file, work, data } = configuration;
  const value = (key: string): string | undefined => ini.value('database', key)?.trim() || undefined;
  const type = value('DB_TYPE')?.toLowerCase();
  const source = { withoutRoutines: true };
  if (type === 'sqlite3') {
    const path = value('PATH') ?? join(data, 'gitea.db');
    const connection = { file: isAbsolute(path) ? path : join(work, path) };
    return { source: { ...source, name: 'gitea', engine: 'sqlite', connection }, schema: '' };
  }
  if (type !== 'mysql' && type !== 'postgres') {
    if (type === undefined) throw notLiteral(file, '[database] DB_TYPE', 'it is not installed yet');
    throw cannot('application-configuration', 'back up', file, `its database is of type "${type}"`, {
      hint: 'garner knows sqlite3, mysql and postgres here',
    });
  }
  const database = value('NAME')?.split('?')[0] ?? 'gitea';
  const account = { user: value('USER'), password: ini.value('database', 'PASSWD') || undefined, database };
  const place = value('HOST') ?? '127.0.0.1';
  const [, host = '', port] = /^(\/[^:]*|\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(place) ?? [];
  if (host === '' && port === undefined)
    throw notLiteral(file, '[database] HOST', 'a form that is not followed');
  const name = memberName(database);
  const at = {
    host: host.replace(/^\[(.*)\]$/, '$1') || '127.0.0.1',
    port: port === undefined ? undefined : Number(port),
  };
  if (type === 'postgres') {
    const connection = { ...account, ...at, sslmode: value('SSL_MODE')?.toLowerCase() };
    return {
      source: { ...source, name, engine: 'postgres', connection },
      schema: value('SCHEMA') ?? 'public',
    };
  }
  const server = at.host.startsWith('/')
    ? { host: undefined, port: undefined, socket: at.host }
    : // its driver never takes a socket for a name; for the client `localhost` is one
      { ...at, host: at.host === 'localhost' ? '127.0.0.1' : at.host };
  return { source: { ...source, name, engine: 'mysql', connection: { ...account, ...server } }, schema: '' };
}

/** What is kept in files, or elsewhere: its name below the data directory, its section, the key of its path. */
const STORES = [
  { name: 'attachments', section: 'attachment', keys: [['attachment', 'PATH']] },
  {
    name: 'lfs',
    section: 'lfs',
    keys: [
      ['lfs', 'PATH'],
      ['server', 'LFS_CONTENT_PATH'],
    ],
  },
  { name: 'avatars', section: 'avatar', keys: [['picture', 'AVATAR_UPLOAD_PATH']] },
  { name: 'repo-avatars', section: 'repo-avatar', keys: [['picture', 'REPOSITORY_AVATAR_UPLOAD_PATH']] },
  { name: 'packages', section: 'packages', keys: [['packages', 'PATH']] },
  { name: 'actions_log', section: 'storage.actions_log', keys: [['storage.actions_log', 'PATH']] },
  { name: 'actions_artifacts', section: 'actions.artifacts', keys: [['storage.actions_artifacts', 'PATH']] },
] as const;

export interface GiteaStore {
  name: string;
  /** `local`, or what holds it in place of the disk: minio, azureblob. */
  type: string;
  /** Where it is on this host, if it is. */
  directory: string;
}

export function giteaStores({ ini, data }: GiteaConfiguration): GiteaStore[] {
  // [storage.lfs] inherits from [storage]: what only that one has is for all, and has a directory for each
  const own = (section: string, key: string): string | undefined =>
    ini.entries(section).find(([name]) => name === key)?.[1] || undefined;
  return STORES.map(({ name, section, keys }) => {
    const named =
      own(section, 'STORAGE_TYPE') ??
      own(`storage.${name}`, 'STORAGE_TYPE') ??
      own('storage', 'STORAGE_TYPE') ??
      'local';
    const type = own(`storage.${named}`, 'STORAGE_TYPE') ?? named;
    const common = own('storage', 'PATH');
    const path =
      keys.map(([where, key]) => own(where, key)).find((value) => value !== undefined) ??
      own(`storage.${name}`, 'PATH') ??
      (common === undefined ? name : join(common, name));
    return { name, type, directory: isAbsolute(path) ? path : join(data, path) };
  });
}

/**
 * @param isKept tells whether a file is in one of the trees
 * @returns what lies in no directory of this host, and keys that are kept apart: `SECRET_KEY_URI = file:/path`
 */
export function giteaWithheld(
  configuration: GiteaConfiguration,
  isKept: (file: string) => boolean,
): Withheld[] {
  const { ini, file } = configuration;
  const stores = giteaStores(configuration)
    .filter(({ type }) => type !== 'local')
    .map(({ name, type }) => ({
      what: `${name}, which ${basename(file)} keeps in ${type}`,
      remedy: 'back up that bucket as well; garner keeps restoration points of S3 buckets',
    }));
  const keys = ini
    .sections()
    .flatMap((section) => ini.entries(section))
    .map(([key, value]) => (key.endsWith('_URI') ? /^file:(?:\/\/)?(\/.+)$/.exec(value)?.[1] : undefined))
    .filter((path) => path !== undefined)
    .filter((path) => !isKept(path))
    .map((path) => ({
      what: path,
      remedy: `keep a copy of it elsewhere: ${basename(file)} names it as a key`,
    }));
  return [...stores, ...keys];
}
