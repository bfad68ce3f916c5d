// What tests of Atlassian's applications share: hazards for careless readers, and agents that are asked in this process.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import type { AgentContext } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';

/** Every character that some quoting somewhere gives a meaning. */
export const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =w<ö>`;

/** Writes a file, with the directories above it. */
export function write(file: string, content: string | Uint8Array): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

export const xmlText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** @returns what an agent's functions get, for one that is asked in this process */
export const contextOf = (settings: Record<string, unknown>): never =>
  ({
    settings,
    view: hostView(),
    signal: new AbortController().signal,
  }) satisfies Omit<AgentContext, 'settings'> & { settings: object } as unknown as never;

/** Puts a FIFO, a socket and a name that is no UTF-8 into a directory. */
export async function addHazards(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xfc, 0x62, 0xff])]), 'bytes');
  await execa('mkfifo', [join(directory, 'fifo')]);
  const makeSocket = 'use IO::Socket::UNIX; IO::Socket::UNIX->new(Local => shift, Listen => 1) or die $!';
  await execa('perl', ['-e', makeSocket, join(directory, 'socket')]);
}

/** @returns the words that leave paths out of what `find .` finds */
export const leftOutOf = (paths: readonly string[]): string[] =>
  paths.flatMap((path) => ['-path', `./${path}`, '-prune', '-o']);
