// What Bitbucket and its predecessor Stash have in common besides their HTTP interface: the properties file that names the
// database, the home, the installation.
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { cannot } from '../../lib/errors.ts';
import { databaseOfCredentials, type WrittenCredentials } from './atlassian.ts';
import { homeTrees } from './atlassian-home.ts';
import { askVersion, type RestAccess } from './bitbucket-rest.ts';
import type { TreeSource } from './define-agent.ts';
import type { HostView } from './host-view.ts';
import { jarVersion } from './jars.ts';
import { parseJavaProperties } from './java-properties.ts';

/** What it makes anew, by the same names below the home and below its `shared`; as in Atlassian's own backup scripts. */
export const LEFT_OUT = [
  ...['caches', 'tmp', 'log', 'export', 'search/data', 'plugins/.*', 'data/db.*', '.lock'],
];

/** @returns the home's trees; what lies on another disk, by a link, is one of its own */
export function repositoryTrees(view: HostView, home: string, shared: string): TreeSource[] {
  const data = ['', 'shared/'].map((below) => join(home, below, 'data'));
  const places = {
    data_old: data[0] as string, // of Stash before 3.2
    data: join(shared, 'data'),
    repositories: join(shared, 'data/repositories'),
    attachments: join(shared, 'data/attachments'),
    avatars: join(shared, 'data/avatars'),
    lfs: join(shared, 'data/git-lfs'),
  };
  const trees = homeTrees(view, home, shared, LEFT_OUT, places);
  return trees.map((tree) => ({ ...tree, git: true }));
}

/** What the container's environment would say; it goes before the file. */
export interface JdbcEnvironment {
  url: string | undefined;
  user: string | undefined;
  password: string | undefined;
}

/** @returns the configuration file: below `shared`, in Stash before 3.2 in the home itself */
export function propertiesFile(view: HostView, home: string, shared: string, name: string): string {
  const old = join(home, name);
  return view.exists(join(shared, name)) || !view.exists(old) ? join(shared, name) : old;
}

/**
 * @returns the database as it is written down; its URL is empty where none is: the data is in the embedded database then
 * @throws application-configuration where there is no home, or its configuration can't be read
 */
export function writtenDatabase(
  view: HostView,
  file: string,
  environment: JdbcEnvironment,
): WrittenCredentials {
  // a home without the file was never moved to a database server; no home at all is another mistake
  const isAbsent = !view.exists(file) && (environment.url !== undefined || view.exists(dirname(file)));
  const properties = isAbsent ? new Map<string, string>() : parseJavaProperties(view.readText(file));
  const [, cipher] = [...properties].find(([name]) => /decrypter|cipher/i.test(name)) ?? [];
  return {
    file,
    url: (environment.url ?? properties.get('jdbc.url') ?? '').trim(),
    user: environment.user ?? (properties.get('jdbc.user') || undefined),
    password: environment.password ?? properties.get('jdbc.password') ?? '',
    cipher: environment.password === undefined ? cipher?.trim() || undefined : undefined,
  };
}

/** @throws application-configuration where it is none on a server that garner can follow */
export function serverDatabase(written: WrittenCredentials): DatabaseSource {
  if (written.url !== '') return databaseOfCredentials(written).source;
  const cause = 'it names none, so the data is in the embedded one, which is for trying out';
  throw cannot('application-configuration', 'back up the database of', written.file, cause, {
    hint: 'move the application to a database server, in its administration',
  });
}

/** Atlassian's installer makes a directory for each version. */
const VERSION = /^(?:atlassian-)?(?:bitbucket-|stash-)?(\d+(?:\.\d+)+)$/;

/**
 * @param install one installation, or the directory with one for each version
 * @param application `bitbucket` or `stash`: what its jars begin with
 * @returns the version; undefined where nothing tells it, or several are installed
 */
function versionOfInstallation(install: string, application: string): string | undefined {
  const byJar = (root: string): string | undefined =>
    jarVersion(join(root, 'app/WEB-INF/lib'), `${application}-api`) ??
    jarVersion(join(root, 'atlassian-stash/WEB-INF/lib'), `${application}-api`) ??
    VERSION.exec(basename(root))?.[1];
  const own = byJar(install);
  if (own !== undefined) return own;
  const versions = namesIn(install)
    .filter((name) => VERSION.test(name))
    .map((name) => byJar(join(install, name)));
  return versions.length === 1 ? versions[0] : undefined;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // on another host, or in a container
  }
}

/**
 * @param setting the one that names the installation
 * @returns the version by the installation, else as it answers
 * @throws application-configuration where neither tells it; application-request
 */
export async function versionOf(
  { application, install, setting }: { application: string; install: string; setting: string },
  access: RestAccess | undefined,
  signal: AbortSignal,
): Promise<string> {
  const installed = versionOfInstallation(install, application);
  if (installed !== undefined) return installed;
  if (access !== undefined) return await askVersion(access, signal);
  const cause = `no ${application}-api-….jar names it, or several do`;
  throw cannot('application-configuration', 'find the version in', install, cause, {
    hint: `set ${setting}, or the address and an account`,
  });
}
