// Where a WordPress keeps its files: its own directory, and what the configuration or links have put elsewhere.
import { basename, dirname, join, relative, resolve } from 'node:path';
import { isBelow } from './atlassian-home.ts';
import type { TreeSource } from './define-agent.ts';
import type { HostView } from './host-view.ts';
import type { WordpressConfiguration } from './wordpress-configuration.ts';

/** Below wp-content: what is made anew, and other backups. */
const LEFT_OUT = [
  ...['cache', 'upgrade', 'upgrade-temp-backup', 'updraft', 'ai1wm-backups', 'backups-dup*', 'debug.log'],
];

export interface WordpressDirectories {
  root: string;
  content: string;
  uploads: string;
}

/** @param contentDirectory what a setting says */
export function directoriesOf(
  wordpress: string,
  contentDirectory: string | undefined,
  { constants }: WordpressConfiguration,
  view: HostView,
): WordpressDirectories {
  const root = view.resolve(wordpress);
  const named = contentDirectory ?? constants.literal('WP_CONTENT_DIR');
  const content = view.resolve(resolve(named ?? join(root, 'wp-content')));
  const uploads = constants.literal('UPLOADS'); // below WordPress's directory
  return {
    root,
    content,
    uploads: view.resolve(join(uploads === undefined ? content : root, uploads ?? 'uploads')),
  };
}

/** @returns the site's directory, and what of it is elsewhere; of Debian's package only what isn't in the package */
export function wordpressTrees(
  { root, content, uploads }: WordpressDirectories,
  { constants, files, isDebian }: WordpressConfiguration,
  view: HostView,
): TreeSource[] {
  const trees: TreeSource[] = isDebian ? [] : [{ name: 'site', root, excludes: [] }];
  const parts = {
    content,
    plugins: constants.literal('WP_PLUGIN_DIR') ?? join(content, 'plugins'),
    mu_plugins: constants.literal('WPMU_PLUGIN_DIR') ?? join(content, 'mu-plugins'),
    themes: join(content, 'themes'),
    languages: join(content, 'languages'),
    uploads,
  };
  const holder = (path: string): TreeSource | undefined => trees.find((tree) => isBelow(path, tree.root));
  for (const [name, directory] of Object.entries(parts)) {
    const real = view.resolve(directory);
    if (holder(real) === undefined) trees.push({ name, root: real, excludes: [] });
  }
  const home = holder(content);
  home?.excludes?.push(...LEFT_OUT.map((name) => join(relative(home.root, content), name)));
  // Debian's package links .htaccess to it
  const configuration = isDebian ? [...files, join(dirname(files[0]), 'htaccess')] : files;
  const apart = configuration.filter((file) => holder(file) === undefined);
  const directories = [...new Set(apart.map(dirname))];
  return [
    ...directories.map((directory, index) => ({
      name: index === 0 ? 'config' : `config_${index + 1}`,
      root: directory,
      includes: apart.filter((file) => dirname(file) === directory).map((file) => basename(file)),
    })),
    ...trees,
  ];
}
