import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { makeMessage } from '../../../notifier/message.ts';
import type { Transport } from '../../../notifier/transport.ts';
import syslog from '../../../notifier/transports/syslog.ts';
import {
  describeTransport,
  NO_LIMIT,
  openTransport,
  plainMessage,
  type Receiver,
} from '../../contract/transport-contract.ts';

interface SyslogDaemon extends Receiver {
  /** `local3.err`, and the content of the entry; none has another tag than ours. */
  entries: { priority: string; content: string }[];
}

/** @returns the pairs of a line such as `a=b c="d e"`, as collectors of logs read them */
function fieldsOf(content: string): Record<string, string> {
  const pairs = [...content.matchAll(/(\w+)=("(?:[^"\\]|\\.)*"|\S+)(?: |$)/g)];
  if (pairs.map(([pair]) => pair).join('') !== content)
    throw new Error(`it has more than fields: ${content}`);
  return Object.fromEntries(
    pairs.map(([, key, value]) => [key, value?.startsWith('"') ? JSON.parse(value) : value]),
  );
}

/** Starts rsyslog with a socket and a file of its own. */
async function startSyslog(): Promise<SyslogDaemon> {
  const root = mkdtempSync(join(tmpdir(), 'garner-syslog-'));
  const at = (name: string): string => join(root, name);
  writeFileSync(
    at('conf'),
    `global(workDirectory="${root}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="${at('log')}")
template(name="line" type="string" string="%syslogfacility-text%.%syslogseverity-text% %programname%:%msg%\\n")
action(type="omfile" file="${at('out')}" template="line")
`,
  );
  const daemon = execa('/usr/sbin/rsyslogd', ['-n', '-f', at('conf'), '-i', at('pid')], { reject: false });
  let isRunning = true;
  daemon.then(() => {
    isRunning = false;
  });
  while (isRunning && !existsSync(at('log'))) await setTimeout(10);
  const stop = async (): Promise<void> => {
    daemon.kill();
    await daemon;
  };
  const receiver: SyslogDaemon = {
    settings: { NOTIFY_SYSLOG_FACILITY: 'local3', NOTIFY_SYSLOG_SOCKET: at('log') },
    get entries() {
      const lines = existsSync(at('out')) ? readFileSync(at('out'), 'utf8').split('\n').slice(0, -1) : [];
      return lines
        .map((line) => /^(\w+\.\w+) garner: (.*)$/.exec(line) ?? [])
        .map(([, priority = '', content = '']) => ({ priority, content }))
        .filter(({ content }) => content.startsWith('result='));
    },
    get taken() {
      return receiver.entries.map(({ content }) => content);
    },
    get ids() {
      return receiver.taken.map((content) => fieldsOf(content).id as string);
    },
    problems: [],
    faults: {
      'no daemon': {
        says: /cannot write to the system log by ".*\/log": .*(No such file|Connection refused)/,
        begin: stop,
      },
    },
    async [Symbol.asyncDispose]() {
      await stop();
      rmSync(root, { recursive: true });
    },
  };
  current = receiver;
  return receiver;
}

let current: SyslogDaemon;

/** The daemon may write an entry when logger has ended. */
const transport: Transport = {
  ...syslog,
  open(values, host) {
    const channel = syslog.open(values, host);
    return (
      channel && {
        ...channel,
        async send(message, signal) {
          const before = current.entries.length;
          const flaws = await channel.send(message, signal);
          while (current.entries.length === before) await setTimeout(10);
          return flaws;
        },
      }
    );
  },
};

describeTransport({ name: 'syslog', transport, start: startSyslog, secrets: [], needs: {} });

it('logs one entry a message, with its result as the priority', async () => {
  await using daemon = await startSyslog();
  const channel = openTransport(transport, daemon.settings);
  for (const result of ['OK', 'WARNINGS', 'LOCKED', 'FAILED', 'MISSED'] as const) {
    const message = makeMessage({
      ...plainMessage(),
      result,
      name: 'the wiki',
      summary: 'a "cause"\nresult=OK',
    });
    await channel?.send(message, NO_LIMIT);
    expect(fieldsOf(daemon.taken.at(-1) ?? '')).toEqual({
      result,
      name: 'the wiki',
      host: 'web1.example.test',
      id: message.id,
      summary: 'a "cause"\\nresult=OK',
    });
  }
  expect(daemon.entries.map(({ priority }) => priority)).toEqual([
    'local3.info',
    'local3.warning',
    'local3.warning',
    'local3.err',
    'local3.err',
  ]);
});

it('refuses a facility that is none', () => {
  expect(() => openTransport(syslog, { NOTIFY_SYSLOG_FACILITY: 'local8' })).toThrow(/NOTIFY_SYSLOG_FACILITY/);
});
