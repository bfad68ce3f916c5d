import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { redact, registerSecret } from '../../../lib/redact.ts';
import { subjectOf, textOf } from '../../../notifier/message.ts';
import command from '../../../notifier/transports/command.ts';
import { describeTransport, openTransport, plainMessage } from '../../contract/transport-contract.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'garner-command-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const at = (name: string): string => join(root, name);
function script(lines: string, mode = 0o755): string {
  writeFileSync(at('tell'), `#!/bin/sh\n${lines}\n`);
  chmodSync(at('tell'), mode);
  return at('tell');
}
const send = async (line: string, signal = new AbortController().signal) =>
  openTransport(command, { NOTIFY_COMMAND: line })?.send(plainMessage(), signal);

describeTransport({
  name: 'command',
  transport: command,
  async start() {
    const receiver = {
      settings: { NOTIFY_COMMAND: `${script('cat >> "$1"/given')} ${root}` },
      get taken() {
        return existsSync(at('given')) ? readFileSync(at('given'), 'utf8').trim().split('\n') : [];
      },
      get ids() {
        return receiver.taken.map((line) => JSON.parse(line).id);
      },
      problems: [],
      faults: {
        'an exit code': {
          says: /cannot hand a message to ".*\/tell": gateway closed \(exit code 7\)/,
          begin: () => void script('cat > /dev/null; echo gateway closed >&2; exit 7'),
        },
        'a command that reads nothing': {
          says: /exit code 1/,
          begin: () => void script('exit 1'),
        },
        'no such command': { says: /no such file/, begin: () => rmSync(at('tell')) },
        'a command that hangs': {
          says: /not done after 60 s/,
          begin(giveUp: () => void) {
            script(`sleep 61 & echo $! > ${at('pid')}; wait`);
            const watcher = watch(root, (_, name) => {
              if (name !== 'pid' || readFileSync(at('pid'), 'utf8') === '') return;
              watcher.close();
              giveUp();
            });
          },
        },
      },
      [Symbol.asyncDispose]: async () => {},
    };
    return receiver;
  },
  secrets: [],
  needs: {},
});

it('gives all of the message as JSON, with its subject and text', async () => {
  const message = plainMessage();
  const channel = openTransport(command, { NOTIFY_COMMAND: script(`cat > ${at('given')}`) });
  await channel?.send(message, new AbortController().signal);
  expect(JSON.parse(readFileSync(at('given'), 'utf8'))).toEqual({
    subject: subjectOf(message),
    text: textOf(message),
    ...message,
  });
});

it('splits its arguments without a shell, and runs in the language of the caller, without the settings', async () => {
  process.env.NOTIFY_TEST_SECRET = 'hunter22';
  const { LC_ALL } = process.env;
  process.env.LC_ALL = 'C.UTF-8';
  try {
    await send(`${script(`{ printf '%s\\n' "$@"; env; } > ${at('given')}`)} "a b" '$HOME;' *`);
  } finally {
    delete process.env.NOTIFY_TEST_SECRET;
    if (LC_ALL === undefined) delete process.env.LC_ALL;
    else process.env.LC_ALL = LC_ALL;
  }
  const said = readFileSync(at('given'), 'utf8');
  expect(said.split('\n').slice(0, 3)).toEqual(['a b', '$HOME;', '*']);
  expect(said).toContain('\nLC_ALL=C.UTF-8\n');
  expect(said).not.toContain('hunter22');
});

it('ends all that a command has started when its time is up', async () => {
  const limit = new AbortController();
  const line = script(`sleep 61 & echo $! > ${at('pid')}; mv ${at('pid')} ${at('started')}; wait`);
  const watcher = watch(root, (_, name) => {
    if (name === 'started') limit.abort(new Error('late'));
  });
  await expect(send(line, limit.signal)).rejects.toThrow('late');
  watcher.close();
  const pid = readFileSync(at('started'), 'utf8').trim();
  const { stdout: state } = await execa('ps', ['-o', 'stat=', '-p', pid], { reject: false });
  expect(state.replace(/^Z.*/, '')).toBe('');
});

it('runs no file that others can change', async () => {
  await expect(send(script('true', 0o777))).rejects.toMatchObject({
    code: 'delivery',
    message: expect.stringContaining('it can be changed by others'),
    hint: `chmod go-w '${at('tell')}'`,
  });
});

it('shows no secret that the command prints', async () => {
  registerSecret('topsecret1');
  const error = await send(script('echo "bad key topsecret1" >&2; exit 1')).catch((e: Error) => e);
  expect(redact((error as Error).message)).toContain('bad key [redacted] (exit code 1)');
});

it.each(['tell', './tell', '""'])('refuses %s, which is no absolute path', (line) => {
  expect(() => openTransport(command, { NOTIFY_COMMAND: line })).toThrow(
    /cannot use setting "NOTIFY_COMMAND": .* absolute path/,
  );
});
