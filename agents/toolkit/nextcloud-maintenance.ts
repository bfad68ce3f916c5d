// Nextcloud's maintenance mode, by its own occ, run as whoever owns config.php: occ refuses all others.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgsStringToArgv } from 'string-argv';
import { cannot } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { type Command, captureOk } from '../../lib/process.ts';

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
  const { uid, gid } = statSync(file);
  const php = ['php', join(root, 'occ'), ...args];
  if (uid === process.getuid?.()) return { file: 'php', args: php.slice(1) };
  return { file: 'setpriv', args: [`--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--', ...php] };
}

/** @returns what `occ maintenance:mode` answers */
async function maintenance(occ: Occ, option: string[], signal: AbortSignal): Promise<string> {
  try {
    const args = ['maintenance:mode', ...option, '--no-interaction', '--no-ansi'];
    return await captureOk(commandOf(occ, args), { signal });
  } catch (error) {
    signal.throwIfAborted();
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
  remember({ maintenance: true });
  const answer = await maintenance(occ, ['--on'], signal);
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
