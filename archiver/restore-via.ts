// Carries an archive to a host and runs the restore there, by OpenSSH's own programs: with the operator's keys, agent and
// configuration, and the host keys that OpenSSH knows. What the host says is escaped before it is shown.
import { dirname } from 'node:path';
import { ARCHIVE_SUFFIX } from '../archive/name.ts';
import { cannot } from '../lib/errors.ts';
import { info, warn, writeStderr } from '../lib/log.ts';
import { type Command, capture, captureOk } from '../lib/process.ts';
import { findProgram } from '../lib/program.ts';
import { escapeControls, shellWord } from '../lib/text.ts';
import type { Picked } from './restore.ts';

export interface SshTarget {
  host: string;
  /** For ssh and sftp, before the host. */
  options: string[];
}

/** @throws usage where it is no `ssh://user@host:port` */
export function parseSshUrl(text: string): SshTarget {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // a password may be in it: it is not shown
  const refuse = (cause: string): Error => cannot('usage', 'restore via', 'the URL', cause);
  if (url?.protocol !== 'ssh:') throw refuse('it is no ssh://user@host');
  if (url.password !== '') throw refuse('it has a password: ssh uses your keys or your agent');
  if (!['', '/'].includes(url.pathname) || url.search !== '' || url.hash !== '')
    throw refuse('there is something after the host');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const user = decodeURIComponent(url.username);
  if (!/^[A-Za-z0-9][A-Za-z0-9.:_-]*$/.test(host) || !/^([A-Za-z0-9_][A-Za-z0-9._-]*)?$/.test(user))
    throw refuse('the user or the host has odd characters');
  const options = ['-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=yes'];
  if (user !== '') options.push('-o', `User=${user}`);
  if (url.port !== '') options.push('-o', `Port=${url.port}`);
  return { host, options };
}

/** What ssh itself exits with; no restore does. */
const SSH_FAILED = 255;
const CLEAN_UP_MS = 60_000;

/**
 * @param arguments_ of `agent-<application> restore`, behind the archive
 * @returns how the restore on the host ended, and what it printed
 * @throws store-connect, program-failed where it could not be carried there or run
 */
export async function restoreVia(
  { host, options }: SshTarget,
  { row, path }: Picked,
  arguments_: readonly string[],
  { sudo, signal }: { sudo: boolean; signal: AbortSignal },
): Promise<{ exitCode: number; stdout: string }> {
  const ssh = (words: readonly string[]): Command => ({
    file: findProgram(['ssh'], 'openssh-client'),
    args: [...options, '--', host, words.map(shellWord).join(' ')],
  });
  const made = await captureOk(ssh(['mktemp', '-d', '/var/tmp/garner-restore-XXXXXXXX']), { signal });
  const directory = /^(\/var\/tmp\/garner-restore-[A-Za-z0-9]{8})\n$/.exec(made)?.[1];
  if (directory === undefined)
    throw cannot(
      'store-connect',
      'use host',
      host,
      `it was asked for a directory and said "${made.slice(0, 200)}"`,
    );
  const file = row.name + ARCHIVE_SUFFIX;
  try {
    info(`${row.name}: carried to ${host}:${directory}`);
    const puts = [`${file}.sha256`, file].map((name) => `put ${name} ${directory}/${name}\n`);
    const sftp = {
      file: findProgram(['sftp'], 'openssh-client'),
      args: ['-q', ...options, '-b', '-', '--', host],
    };
    await captureOk({ ...sftp, cwd: dirname(path) }, { signal, input: puts.join('') });
    const agent = [`agent-${row.application}`, 'restore', `${directory}/${file}`, ...arguments_];
    const { code, stdout } = await capture(
      {
        ...ssh([...(sudo ? ['sudo', '-n'] : []), ...agent]),
        onStderrLine: (line) => writeStderr(`${host}: ${escapeControls(line)}\n`),
      },
      { signal },
    );
    if (code === null || code === SSH_FAILED)
      throw cannot('store-connect', 'run the restore on', host, 'ssh failed, as it said above');
    return { exitCode: code, stdout };
  } finally {
    // also where this run was ended
    const limit = AbortSignal.timeout(CLEAN_UP_MS);
    await captureOk(ssh(['rm', '-rf', '--', directory]), { signal: limit }).catch(() =>
      warn(`${host}: remove ${directory}, the archive is still in it`),
    );
  }
}
