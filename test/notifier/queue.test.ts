import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeMessage } from '../../notifier/message.ts';
import { enqueue, listQueue, readQueued } from '../../notifier/queue.ts';
import { type Host, makeHost } from '../helpers/notify.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'garner-queue-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const message = (name: string) =>
  makeMessage({
    result: 'FAILED',
    name,
    host: 'web1',
    summary: 'x',
    facts: [{ label: 'Host', value: 'web1' }],
    series: { of: 'size', bars: [{ result: 'failed', value: null, startedAt: '2026-01-01T02:15:00.000Z' }] },
  });

const WAITING = { attempts: 1, nextAt: '2026-01-01T00:00:00.000Z' };

/** A host whose sendmail adds each subject to a file. */
function countingHost(): Host {
  const host = makeHost();
  host.script(
    'sendmail',
    `#!/bin/sh\nsed -n 's/^Subject: .* \\(.*\\) on .*/\\1/p' >> ${host.root}/subjects\nsleep 0.1\n`,
  );
  return host;
}
const subjects = (host: Host): string[] =>
  readFileSync(join(host.root, 'subjects'), 'utf8').trim().split('\n');

it('gives back what was put in, and lets nobody else read it', () => {
  const queued = { message: message('wiki'), waiting: { email: WAITING } };
  enqueue(join(root, 'queue'), queued);
  const [name = ''] = listQueue(join(root, 'queue'));
  expect(readQueued(join(root, 'queue'), name)).toEqual(queued);
  expect(statSync(join(root, 'queue', name)).mode & 0o777).toBe(0o600);
  expect(statSync(join(root, 'queue')).mode & 0o777).toBe(0o700);
});

it('keeps at most 1000 messages: the oldest goes', () => {
  for (let i = 0; i < 1000; i += 1) {
    const time = new Date(Date.UTC(2026, 0, 1) + i).toISOString().replace(/[-:.]/g, '');
    writeFileSync(join(root, `${time}-0.json`), '{}');
  }
  const [first, second] = listQueue(root);
  enqueue(root, { message: message('new'), waiting: { email: WAITING } });
  expect(listQueue(root)).toHaveLength(1000);
  expect(listQueue(root)[0]).toBe(second);
  expect(listQueue(root)).not.toContain(first);
});

it('sweeps what a killed run has left unfinished, not what another run is writing', () => {
  for (const name of ['.part-old', '.part-young']) writeFileSync(join(root, name), '{');
  utimesSync(join(root, '.part-old'), 0, 0);
  enqueue(root, { message: message('wiki'), waiting: { email: WAITING } });
  expect(readdirSync(root).filter((name) => name.startsWith('.'))).toEqual(['.part-young']);
});

it('sets aside what is no message, and goes on', async () => {
  using host = countingHost();
  const queue = join(host.root, 'state/queue');
  mkdirSync(queue, { recursive: true });
  writeFileSync(join(queue, '20260101T000000000Z-0.json'), '{"message": {"id": "../../x"}}');
  enqueue(queue, { message: message('waiting'), waiting: { email: WAITING } });
  const { stderr } = await host.notify(['--name', 'new', '--', 'true']);
  expect(stderr).toContain('is no message of the queue');
  expect(subjects(host)).toEqual(['new', 'waiting']);
  expect(host.queue()).toEqual(['20260101T000000000Z-0.json.damaged']);
});

it('is sent oldest first, after the message of the run itself', async () => {
  using host = countingHost();
  for (const name of ['one', 'two', 'three']) {
    enqueue(join(host.root, 'state/queue'), { message: message(name), waiting: { email: WAITING } });
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  const { stderr } = await host.notify(['--name', 'new', '--', 'true']);
  expect(subjects(host)).toEqual(['new', 'one', 'two', 'three']);
  expect(stderr).toContain('sent 3 messages of earlier runs');
  expect(host.queue()).toEqual([]);
});

it('is sent once, however many runs end at the same time', async () => {
  using host = countingHost();
  for (let i = 0; i < 10; i += 1) {
    enqueue(join(host.root, 'state/queue'), { message: message(`old${i}`), waiting: { email: WAITING } });
  }
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => host.notify(['--name', name, '--', 'true'])));
  expect(
    subjects(host)
      .filter((name) => name.startsWith('old'))
      .sort(),
  ).toEqual(Array.from({ length: 10 }, (_, i) => `old${i}`));
  expect(host.queue()).toEqual([]);
});

it('changes no exit code where it can’t be written, and says so', async () => {
  using host = makeHost({ GARNER_STATE_DIR: '/etc/passwd' });
  host.script('sendmail', '#!/bin/sh\nexit 75\n');
  const { exitCode, stderr } = await host.notify(['--', 'sh', '-c', 'exit 3']);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/nobody was told, and the message could not be kept: cannot make the queue/);
});

it('keeps a message that a signal has stopped on its way', async () => {
  using host = makeHost();
  host.script('sendmail', '#!/bin/sh\ntouch "$MAILFILE"\nexec sleep 100\n');
  const run = host.notify(['--', 'sh', '-c', 'exit 4']);
  while (!host.gotMail()) await new Promise((resolve) => setTimeout(resolve, 50));
  run.kill('SIGTERM');
  const { exitCode, stderr } = await run;
  expect(exitCode).toBe(4);
  expect(stderr).toMatch(/not delivered by email.*SIGTERM/);
  expect(readdirSync(join(host.root, 'state/queue'))).toHaveLength(1);
});
