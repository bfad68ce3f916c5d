import { existsSync, mkdtempSync, readdirSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeMessage } from '../../../notifier/message.ts';
import { tell, tellStart } from '../../../notifier/tell.ts';
import healthchecks from '../../../notifier/transports/healthchecks.ts';
import {
  describeTransport,
  httpReceiver,
  NO_LIMIT,
  openTransport,
  plainMessage,
  type Taken,
} from '../../contract/transport-contract.ts';
import { type ServiceRequest, startHttpService } from '../../helpers/http-service.ts';
import { loadNotify, makeHost } from '../../helpers/notify.ts';

const CHECK = '5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278';
const RUN = '7d0ba2a6-1e1c-4b0e-9d3c-3e5a2f9f6c01';

/** https://healthchecks.io/docs/http_api/ and https://healthchecks.io/docs/attaching_logs/ */
function check({ method, path, body }: ServiceRequest): Taken {
  const url = new URL(path, 'http://hc.test');
  const [, code, signal = 'success'] = /^\/ping\/([^/]+)(?:\/(start|fail|log))?$/.exec(url.pathname) ?? [];
  if (method !== 'POST' || code === undefined) throw 'invalid url format';
  if (code !== CHECK) throw 'not found';
  if (Buffer.byteLength(body) > 100_000) throw 'it keeps the first 100 kB only';
  const id = url.searchParams.get('rid') ?? '';
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) throw 'invalid uuid format';
  return { text: `${signal} ${body}`, id, answer: { status: 200, body: 'OK' } };
}

const settings = (url: string) => ({ NOTIFY_HEALTHCHECKS_URL: `${url}/ping/${CHECK}` });
const start = () => httpReceiver(settings, check);
describeTransport({ name: 'healthchecks', transport: healthchecks, start, secrets: [CHECK], needs: {} });

it.each([
  ['OK', 'success'],
  ['WARNINGS', 'success'],
  ['LOCKED', 'fail'],
  ['FAILED', 'fail'],
] as const)('tells the start of a run, and %s as its %s, by one id', async (result, signal) => {
  await using receiver = await start();
  const channel = openTransport(healthchecks, receiver.settings);
  expect(healthchecks.everyRun).toBe(true);
  await channel?.started?.({ id: RUN, name: 'wiki', host: 'web1' }, NO_LIMIT);
  const log = { head: 'what it printed', tail: '', leftOutBytes: 0 };
  const message = makeMessage({ ...plainMessage(), result, log, run: { id: RUN, durationMs: 1000 } });
  await channel?.send(message, NO_LIMIT);
  expect(receiver.problems).toEqual([]);
  expect(receiver.ids).toEqual([RUN, RUN]);
  expect(receiver.taken[0]).toBe('start ');
  expect(receiver.taken[1]).toMatch(new RegExp(`^${signal} \\[garner\\] ${result} `));
  expect(receiver.taken[1]).toContain('\n\nwhat it printed\n\nMessage ');
});

it('tells that nothing ran as a failure, and what is about no run changes no state', async () => {
  await using receiver = await start();
  const channel = openTransport(healthchecks, receiver.settings);
  for (const result of ['MISSED', 'OK'] as const) {
    await channel?.send(makeMessage({ ...plainMessage(), result }), NO_LIMIT);
  }
  expect(receiver.taken.map((text) => text.split(' ', 1)[0])).toEqual(['fail', 'log']);
});

it('keeps what stands in the address for a slug that is to be made', async () => {
  await using service = await startHttpService(() => ({ status: 201, body: 'Created' }));
  const channel = openTransport(healthchecks, {
    NOTIFY_HEALTHCHECKS_URL: `${service.url}/fqOOd6-F4MMNuCEnzTU01w/db-backups?create=1`,
  });
  await channel?.started?.({ id: RUN, name: 'wiki', host: 'web1' }, NO_LIMIT);
  expect(service.requests[0]?.path).toBe(`/fqOOd6-F4MMNuCEnzTU01w/db-backups/start?create=1&rid=${RUN}`);
});

it.each(['OK (not found)', 'OK (rate limited)', '<html>'])(
  'takes the answer "%s" for a refusal',
  async (body) => {
    await using service = await startHttpService(() => ({ status: 200, body }));
    const sending = openTransport(healthchecks, settings(service.url))!.send(plainMessage(), NO_LIMIT);
    await expect(sending).rejects.toThrow(`Healthchecks at 127.0.0.1:${service.port}": it answered: ${body}`);
  },
);

it('F59 tells start and end of a run by the address in the application’s own file, whatever is told to people', async () => {
  using host = makeHost();
  const ran = join(host.root, 'ran');
  let answerStart = (): void => {};
  await using service = await startHttpService((request, response) => {
    const { text, answer } = check(request);
    if (text !== 'start ') return answer;
    // the start is taken only when the command has run: it does not wait
    answerStart = () => {
      if (existsSync(ran) && !response.writableEnded) response.end(answer.body);
    };
    answerStart();
    return 'nothing';
  });
  const watcher = watch(host.root, () => answerStart());
  writeFileSync(
    join(host.root, 'etc/agent-fake.env'),
    `NOTIFY_HEALTHCHECKS_URL=${service.url}/ping/${CHECK}\n`,
    { mode: 0o600 },
  );
  const agent = host.script('agent-fake', `#!/bin/sh\necho done > ${ran}\n`);
  const { exitCode, stderr } = await host.notify(['--quiet-ok', '--', agent, 'describe']);
  watcher.close();
  expect([exitCode, stderr, host.gotMail()]).toEqual([0, '', false]);
  const pings = service.requests.map(check);
  expect(pings.map(({ text }) => text.split(' ', 1)[0])).toEqual(['start', 'success']);
  expect(pings[0]?.id).toBe(pings[1]?.id);
});

it('holds up nothing where the start can not be told, and queues nothing', async () => {
  const root = mkdtempSync(join(tmpdir(), 'garner-healthchecks-'));
  await using service = await startHttpService(() => ({ status: 500 }));
  const notify = loadNotify(root, settings(service.url));
  try {
    await tellStart({ id: RUN, name: 'wiki', host: 'web1' }, notify);
    const message = makeMessage({ ...plainMessage(), run: { id: RUN, durationMs: 1 } });
    await tell(message, notify, NO_LIMIT);
    expect(service.requests.map(({ path }) => path)).toEqual([
      `/ping/${CHECK}/start?rid=${RUN}`,
      `/ping/${CHECK}?rid=${RUN}`,
    ]);
    expect(readdirSync(root)).toEqual([]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
