// Nextcloud's maintenance mode, by its own occ, run as whoever owns config.php: occ refuses all others. Occ is often the web
// server's to change: it is not run as an account that the web server could only name.
import { lstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgsStringToArgv } from 'string-argv';
import { asAccount } from '../../lib/as-account.ts';
import { cannot, GarnerError } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { type Command, captureOk } from '../../lib/process.ts';
import { checkTrusted } from '../../lib/trusted-file.ts';

/** How long occ may take to switch it on; systemd's patience after SIGTERM is 90 s, and a minute is for the undoing. */
const ON_LIMIT_MS = 30_000;

export interface Occ {
  /** Nextcloud's directory. */
  root: string;
  /** config.php. */
  file: string;
  /** How occ is run, split like a command line; undefined: `php <root>/occ` as the owner of config.php. */
  command: string | undefined;
}

function commandOf({ root, file, command }: Occ, args: readonly string[]): Command {
  if (command !== undefined) {
    const [program = '', ...rest] = parseArgsStringToArgv(command);
    return { file: program, args: [...rest, ...args] };
  }
  const owner = statSync(file);
  const link = lstatSync(file);
  // a link of another's to a file of this account is no word of this account's
  if (link.uid !== owner.uid && link.uid !== 0) throw new Error(`config.php is a link of user ${link.uid}`);
  const program = join(root, 'occ');
  if (owner.uid === process.getuid?.()) for (const one of [file, program]) checkTrusted(one);
  return asAccount(owner, { file: 'php', args: [program, ...args] }, 'own');
}

/** @returns what `occ maintenance:mode` answers */
async function maintenance(occ: Occ, option: string[], signal: AbortSignal): Promise<string> {
  try {
    const args = ['maintenance:mode', ...option, '--no-interaction', '--no-ansi'];
    return await captureOk(commandOf(occ, args), { signal });
  } catch (error) {
    if (signal.reason instanceof GarnerError) throw signal.reason;
    throw cannot('program-failed', 'set the maintenance mode of', occ.root, error, {
      hint: 'set NEXTCLOUD_OCC to how occ is run here, or NEXTCLOUD_MAINTENANCE=false to back up a running Nextcloud',
    });
  }
}

/** Switches it on, unless it is. @param remember is called before */
export async function beginMaintenance(
  occ: Occ,
  remember: (token: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  const [, state] = /mode is currently (enabled|disabled)/i.exec(await maintenance(occ, [], signal)) ?? [];
  if (state === undefined) {
    throw cannot(
      'program-failed',
      'set the maintenance mode of',
      occ.root,
      'occ does not say whether it is enabled',
    );
  }
  if (state === 'enabled') {
    info('Nextcloud is in maintenance mode already, and stays so');
    return;
  }
  signal.throwIfAborted();
  remember({ maintenance: true });
  // not ended with the run: in a container it would go on, and could be later than what undoes it
  const answer = await maintenance(occ, ['--on'], AbortSignal.timeout(ON_LIMIT_MS));
  signal.throwIfAborted();
  if (!/mode (already )?enabled/i.test(answer)) {
    throw cannot(
      'program-failed',
      'set the maintenance mode of',
      occ.root,
      'occ does not say that it is enabled',
    );
  }
}

/** Switches it off; one that is off already stays so. */
export async function endMaintenance(occ: Occ, signal: AbortSignal): Promise<void> {
  const answer = await maintenance(occ, ['--off'], signal);
  if (!/mode (already )?disabled/i.test(answer)) {
    throw cannot(
      'program-failed',
      'end the maintenance mode of',
      occ.root,
      'occ does not say that it is disabled',
    );
  }
}
