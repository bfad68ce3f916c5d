// Programs that read or run what another account can write are run as that account, where garner itself is root: what such
// files name (links, included files, commands) is then no more than that account has anyway.
import { statSync } from 'node:fs';
import type { Command } from './process.ts';
import { findProgram } from './program.ts';

export interface Account {
  uid: number;
  gid: number;
}

/**
 * @param groups `own`: those that the account is a member of, so that it has to be one of this host; `none`: only `gid`
 * @returns the command, run as the account; as it is where the caller is that account, or may not become another
 */
export function asAccount({ uid, gid }: Account, command: Command, groups: 'own' | 'none' = 'none'): Command {
  const caller = process.getuid?.();
  if (caller !== 0 || uid === caller) return command;
  const identity = [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups === 'own' ? '--init-groups' : '--clear-groups',
  ];
  return {
    ...command,
    file: findProgram(['setpriv'], 'util-linux'),
    args: [...identity, '--no-new-privs', '--', command.file, ...command.args],
    env: { HOME: '/nonexistent', XDG_CONFIG_HOME: undefined, ...command.env }, // the caller's is closed to it
  };
}

/**
 * @param debianPackage where a program is found that is named without its directory
 * @returns the command, run as the account that owns the program: who can replace it gets no more than he has
 * @throws program-missing; what the system says where there is no such file
 */
export function asOwner(command: Command, debianPackage: string): Command {
  const { file } = command;
  const found = file.includes('/') ? file : findProgram([file], debianPackage);
  return asAccount(statSync(found), { ...command, file: found });
}
