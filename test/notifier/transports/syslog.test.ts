import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeMessage } from '../../../notifier/message.ts';
import type { Transport } from '../../../notifier/transport.ts';
import syslog from '../../../notifier/transports/syslog.ts';
import {
  describeTransport,
  openTransport,
  plainMessage,
  type Receiver,
} from '../../contract/transport-contract.ts';

interface Entry {
  facility: number;
  severity: number;
  tag: string;
  content: string;
}

/** RFC 3164, 4.1: <PRI>, time, tag, content; the longest packet is what rsyslog and journald take by default. */
function parseEntry(packet: string): Entry {
  const [, pri, tag, content] =
    /^<(\d{1,3})>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d ([A-Za-z\d]{1,32}): (.*?)\n?\0?$/s.exec(packet) ?? [];
  if (pri === undefined || Number(pri) > 191) throw 'it has no priority, time and tag';
  if (Buffer.byteLength(packet) > 8192) throw 'it is too long';
  if (/[\0-\x1f]/.test(content as string)) throw 'its content is not one line';
  return {
    facility: Number(pri) >> 3,
    severity: Number(pri) & 7,
    tag: tag as string,
    content: content as string,
  };
}

/** @returns the pairs of a line such as `a=b c="d e"`, as collectors of logs read them */
function fieldsOf(content: string): Record<string, string> {
  const pairs = [...content.matchAll(/(\w+)=("(?:[^"\\]|\\.)*"|\S+)(?: |$)/g)];
  if (pairs.map(([pair]) => pair).join('') !== content) throw `it has more than fields: ${content}`;
  return Object.fromEntries(
    pairs.map(([, key, value]) => [key, value?.startsWith('"') ? JSON.parse(value) : value]),
  );
}

/** Settles when the daemon has what logger, which may end earlier, has written. */
let arrived = Promise.withResolvers<void>();

const transport: Transport = {
  ...syslog,
  open(values, host) {
    const channel = syslog.open(values, host);
    return (
      channel && {
        ...channel,
        async send(message, signal) {
          arrived = Promise.withResolvers();
          const flaws = await channel.send(message, signal);
          await arrived.promise;
          return flaws;
        },
      }
    );
  },
};

/** Listens as a syslog daemon does on /dev/log, by a stream (a datagram is what logger tries first). */
async function startSyslog(): Promise<Receiver & { entries: Entry[] }> {
  const root = mkdtempSync(join(tmpdir(), 'garner-syslog-'));
  const socket = join(root, 'log');
  const server = createServer((connection) => {
    let packet = '';
    connection.on('data', (chunk) => {
      packet += chunk;
    });
    connection.on('end', () => {
      try {
        const entry = parseEntry(packet);
        receiver.entries.push(entry);
        receiver.ids.push(fieldsOf(entry.content).id as string);
        receiver.taken.push(entry.content);
      } catch (problem) {
        receiver.problems.push(String(problem));
      }
      arrived.resolve();
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const receiver = {
    settings: { NOTIFY_SYSLOG_FACILITY: 'local3', NOTIFY_SYSLOG_SOCKET: socket },
    entries: [] as Entry[],
    taken: [] as string[],
    ids: [] as string[],
    problems: [] as string[],
    faults: {
      'no daemon': {
        says: /cannot write to the system log by ".*\/log": .*(No such file|Connection refused)/,
        begin: () => new Promise<void>((resolve) => server.close(() => resolve())),
      },
    },
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
      rmSync(root, { recursive: true });
    },
  };
  return receiver;
}

describeTransport({ name: 'syslog', transport, start: startSyslog, secrets: [], needs: {} });

it.each([
  ['OK', 'info'],
  ['WARNINGS', 'warning'],
  ['LOCKED', 'warning'],
  ['FAILED', 'err'],
  ['MISSED', 'err'],
] as const)('logs %s as %s', async (result, severity) => {
  await using daemon = await startSyslog();
  const channel = openTransport(transport, daemon.settings);
  const message = makeMessage({ ...plainMessage(), result, name: 'the wiki', summary: 'a "cause"' });
  await channel?.send(message, new AbortController().signal);
  const [entry] = daemon.entries;
  expect(entry).toMatchObject({
    facility: 19, // local3
    severity: ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'].indexOf(severity),
    tag: 'garner',
  });
  expect(fieldsOf(entry?.content ?? '')).toEqual({
    result,
    name: 'the wiki',
    host: 'web1.example.test',
    id: message.id,
    summary: 'a "cause"',
  });
});

it('refuses a facility that is none', () => {
  expect(() => openTransport(syslog, { NOTIFY_SYSLOG_FACILITY: 'local8' })).toThrow(/NOTIFY_SYSLOG_FACILITY/);
});
