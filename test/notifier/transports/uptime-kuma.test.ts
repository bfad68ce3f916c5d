import { expect, it } from 'vitest';
import { makeMessage } from '../../../notifier/message.ts';
import kuma from '../../../notifier/transports/uptime-kuma.ts';
import {
  describeTransport,
  httpReceiver,
  NO_LIMIT,
  openTransport,
  plainMessage,
  type Taken,
} from '../../contract/transport-contract.ts';
import type { ServiceRequest } from '../../helpers/http-service.ts';

const TOKEN = '4Gdp9cHeNu7MHZ6P6RPiiVbHgSdEHJz7';
const DAY_MS = 86_400_000;

/** https://github.com/louislam/uptime-kuma/blob/master/server/routers/api-router.js: /api/push/:pushToken */
function check({ method, path }: ServiceRequest): Taken {
  const { pathname, searchParams } = new URL(path, 'http://kuma.test');
  if (method !== 'GET' || pathname !== `/api/push/${TOKEN}`) throw 'Monitor not found or not active.';
  const { status, msg = '', ping } = Object.fromEntries(searchParams);
  if (searchParams.size !== 3 || !['up', 'down'].includes(status as string)) throw 'anything else is down';
  if (ping !== '' && !(Number(ping) >= 0 && Number(ping) <= DAY_MS)) throw 'Invalid ping value';
  const id = /\(([0-9a-f-]{36})\)$/.exec(msg)?.[1] ?? '';
  return { text: `${status} ${ping} ${msg}`, id, answer: { status: 200, body: '{"ok":true}' } };
}

// as the monitor's page shows it, for copying
const settings = (url: string) => ({
  NOTIFY_UPTIME_KUMA_URL: `${url}/api/push/${TOKEN}?status=up&msg=OK&ping=`,
});
const start = () => httpReceiver(settings, check);

describeTransport({ name: 'uptime-kuma', transport: kuma, start, secrets: [TOKEN], needs: {} });

it.each([
  ['OK', 'up', 1234.5, 1235],
  ['WARNINGS', 'up', 2 * DAY_MS, DAY_MS],
  ['LOCKED', 'down', 0, 0],
  ['FAILED', 'down', 10, 10],
] as const)('makes of %s a heartbeat that is %s', async (result, status, durationMs, ping) => {
  await using receiver = await start();
  const message = makeMessage({ ...plainMessage(), result, run: { id: crypto.randomUUID(), durationMs } });
  const channel = openTransport(kuma, receiver.settings);
  expect(kuma.everyRun).toBe(true);
  await channel?.send(message, NO_LIMIT);
  expect(receiver.taken).toEqual([
    `${status} ${ping} ${result} mediawiki on web1.example.test: 12.3 MB (${message.id})`,
  ]);
});

it('tells that nothing ran as being down', async () => {
  await using receiver = await start();
  await openTransport(kuma, receiver.settings)?.send(
    makeMessage({ ...plainMessage(), result: 'MISSED' }),
    NO_LIMIT,
  );
  expect(receiver.taken[0]).toMatch(/^down {2}MISSED/);
});

it('takes an answer that says no for one', async () => {
  await using receiver = await httpReceiver(settings, () => ({
    text: '',
    id: '',
    answer: { status: 200, body: '{"ok":false,"msg":"Monitor not found or not active."}' },
  }));
  const sending = openTransport(kuma, receiver.settings)!.send(plainMessage(), NO_LIMIT);
  await expect(sending).rejects.toThrow(/Uptime Kuma at 127.*it answered: .*Monitor not found/);
});

it('refuses an address that is no push URL', () => {
  expect(() => openTransport(kuma, { NOTIFY_UPTIME_KUMA_URL: 'https://kuma.test/dashboard' })).toThrow(
    /NOTIFY_UPTIME_KUMA_URL.*\/api\/push/,
  );
});
