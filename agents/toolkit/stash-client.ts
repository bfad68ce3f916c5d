// Stash's own backup client: it locks Stash, writes home and database into one tar below its `backup.home`, and unlocks. It
// reads its settings from backup-config.properties, so that no password is in an argument: one of ours, in a directory that
// looks like the client's own, whether it is looked for there or beside the jar.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { cannot } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { capture, captureOk, describeExit } from '../../lib/process.ts';
import { findProgram } from '../../lib/program.ts';
import { registerSecret } from '../../lib/redact.ts';
import { checkTrusted } from '../../lib/trusted-file.ts';
import type { TreeSource } from './define-agent.ts';
import { formatJavaProperties, parseJavaProperties } from './java-properties.ts';

const CONFIGURATION = 'backup-config.properties';
/** What of `backup.home` is ours: removed before and after. `garner` is what archives lie below: /srv/garner, /var/lib/garner. */
const OURS = 'garner-stash-backup';

export interface BackupClient {
  jar: string;
  /** An existing directory with room for the tar. */
  backupHome: string;
  /** What goes before the client's own configuration beside its jar, by its names: `stash.user`, `stash.baseUrl`, … */
  settings: Record<string, string | undefined>;
  /** `stash.home`, where it is named nowhere. */
  home: string;
}

/** @returns the tree whose one file is the client's tar */
export const clientTree = (root: string): TreeSource => ({
  name: 'client',
  root,
  includes: [join(OURS, 'backups')],
});

/** @returns where the client's tar is, also after a restore, for people */
export const clientTar = (backupHome: string): string => join(backupHome, OURS, 'backups');

/** Removes what a backup has left, and nothing else. */
export function discardClientTar(backupHome: string): void {
  rmSync(join(backupHome, OURS), { recursive: true, force: true });
}

/** @throws configuration where a setting that the client asks for is nowhere */
function clientSettings({ jar, settings, home, backupHome }: BackupClient): Map<string, string> {
  const file = join(dirname(jar), CONFIGURATION);
  const own = existsSync(file)
    ? parseJavaProperties(readFileSync(file, 'latin1'))
    : new Map<string, string>();
  if (!own.get('stash.home')) own.set('stash.home', home);
  for (const [name, value] of Object.entries(settings)) if (value !== undefined) own.set(name, value);
  for (const name of ['stash.baseUrl', 'stash.user', 'stash.password']) {
    if (own.get(name)) continue;
    const hint = `set STASH_BASEURL, STASH_USER and STASH_PASSWORD_FILE, or write it into ${file}`;
    throw cannot('configuration', "run Stash's backup client", jar, `it has no ${name}`, { hint });
  }
  registerSecret(own.get('stash.password'));
  return own.set('backup.home', join(backupHome, OURS));
}

/**
 * Runs the client, as the caller, who may read all of Stash's home.
 * @throws configuration-permissions where others can change the jar; program-failed with what it said; where it left not one whole tar
 */
export async function runBackupClient(client: BackupClient, signal: AbortSignal): Promise<void> {
  const { jar, backupHome } = client;
  const settings = clientSettings(client);
  checkTrusted(jar);
  const java = findProgram(['java'], 'default-jre-headless');
  discardClientTar(backupHome);
  const directory = join(backupHome, OURS, 'client');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(join(directory, CONFIGURATION), formatJavaProperties(settings), { mode: 0o600 });
    // Java tells a jar that is a link where it leads, so that one is copied; what it loads may be links
    copyFileSync(jar, join(directory, basename(jar)));
    for (const name of readdirSync(dirname(jar))) {
      const isOther = name !== CONFIGURATION && name !== basename(jar);
      if (isOther) symlinkSync(join(dirname(jar), name), join(directory, name));
    }
    info(`Stash's backup client: ${jar}`);
    const args = ['-jar', join(directory, basename(jar))];
    // a setting of ours may be in the environment, which it would go before the file
    const env = { STASH_PASSWORD: '', STASH_USER: '', STASH_BASEURL: '' };
    const ended = await capture({ file: java, args, cwd: directory, env }, { signal });
    if (ended.code !== 0) {
      // it says on stdout what is wrong
      const said = describeExit({ ...ended, stderr: `${ended.stdout}\n${ended.stderr}` });
      throw cannot('program-failed', "run Stash's backup client", jar, said);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true }); // the password is in it
  }
  await checkTar(client, signal);
}

/** An exit code is the client's word; a tar that is cut off is not read to its end. */
async function checkTar({ jar, backupHome }: BackupClient, signal: AbortSignal): Promise<void> {
  const directory = clientTar(backupHome);
  const names = existsSync(directory) ? readdirSync(directory) : [];
  const [name] = names;
  if (name === undefined || names.length > 1) {
    const cause = `it left ${names.length === 0 ? 'nothing' : names.join(', ')} in ${directory}, and not one tar`;
    throw cannot('program-failed', "run Stash's backup client", jar, cause);
  }
  const listing = { file: findProgram(['tar'], 'tar'), args: ['--list', '--file', join(directory, name)] };
  await captureOk(listing, { signal, maxBytes: 1 << 30 });
}
