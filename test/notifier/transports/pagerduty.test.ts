import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeMessage } from '../../../notifier/message.ts';
import { tell } from '../../../notifier/tell.ts';
import pagerduty from '../../../notifier/transports/pagerduty.ts';
import {
  describeTransport,
  httpReceiver,
  NO_LIMIT,
  openTransport,
  plainMessage,
  type Taken,
} from '../../contract/transport-contract.ts';
import { type ServiceRequest, startHttpService } from '../../helpers/http-service.ts';
import { loadNotify } from '../../helpers/notify.ts';

const KEY = 'e93facc04764012d7bfb002500d5d1a6';

/** https://developer.pagerduty.com/docs/send-alert-event and /docs/events-api-v2-overview (size, answers) */
function check({ method, path, body }: ServiceRequest): Taken {
  if (method !== 'POST' || path !== '/v2/enqueue') throw 'not found';
  if (Buffer.byteLength(body) > 512_000) throw 'event is too large';
  const { routing_key: key, event_action: action, dedup_key: dedup, payload } = JSON.parse(body);
  if (key !== KEY) throw 'Invalid routing key';
  if (!['trigger', 'acknowledge', 'resolve'].includes(action)) throw "'event_action' is invalid";
  if (typeof dedup !== 'string' || dedup === '' || dedup.length > 255) throw "'dedup_key' is invalid";
  const { summary, source, severity, timestamp, custom_details: details } = payload;
  if (typeof summary !== 'string' || summary.length > 1024) throw "'payload.summary' is invalid";
  if (source !== 'web1.example.test') throw "'payload.source' is missing or blank";
  if (!['critical', 'error', 'warning', 'info'].includes(severity)) throw "'payload.severity' is invalid";
  if (Number.isNaN(Date.parse(timestamp))) throw "'payload.timestamp' is invalid";
  const answer = {
    status: 202,
    body: JSON.stringify({ status: 'success', message: 'Event processed', dedup_key: dedup }),
  };
  return { text: `${action} ${severity} ${dedup}: ${summary}\n${details.message}`, id: details.id, answer };
}

const settings = (url: string) => ({
  NOTIFY_PAGERDUTY_URL: `${url}/v2/enqueue`,
  NOTIFY_PAGERDUTY_KEY: KEY,
});
const start = () => httpReceiver(settings, check);

describeTransport({ name: 'pagerduty', transport: pagerduty, start, secrets: [KEY], needs: {} });

it.each([
  ['OK', 'resolve info'],
  ['WARNINGS', 'trigger warning'],
  ['LOCKED', 'trigger warning'],
  ['FAILED', 'trigger error'],
  ['MISSED', 'trigger error'],
] as const)('makes of %s: %s', async (result, event) => {
  await using receiver = await start();
  const message = makeMessage({ ...plainMessage(), result });
  await openTransport(pagerduty, receiver.settings)?.send(message, NO_LIMIT);
  expect(receiver.taken[0]).toMatch(
    new RegExp(`^${event} garner mediawiki on web1.example.test: \\[garner\\] ${result} mediawiki`),
  );
});

it('has one incident for each name on each host', async () => {
  await using receiver = await start();
  const channel = openTransport(pagerduty, receiver.settings);
  for (const [name, result] of [
    ['wiki', 'FAILED'],
    ['wiki', 'OK'],
    ['forum', 'FAILED'],
  ] as const) {
    await channel?.send(makeMessage({ ...plainMessage(), name, result }), NO_LIMIT);
  }
  const incidents = receiver.taken.map((event) => /garner \w+ on [\w.]+/.exec(event)?.[0]);
  expect(incidents).toEqual([
    'garner wiki on web1.example.test',
    'garner wiki on web1.example.test',
    'garner forum on web1.example.test',
  ]);
});

it('opens no incident again by what waited while the run has become well', async () => {
  const root = mkdtempSync(join(tmpdir(), 'garner-pagerduty-'));
  await using service = await startHttpService(() => ({ status: 500 }));
  const notify = loadNotify(root, settings(service.url));
  const told = (name: string, result: 'OK' | 'FAILED') =>
    tell(makeMessage({ ...plainMessage(), name, result }), notify, NO_LIMIT);
  try {
    await told('wiki', 'FAILED');
    await told('forum', 'FAILED');
    service.requests.length = 0;
    service.respond = (request) => check(request).answer;
    await told('wiki', 'OK');
    expect(readdirSync(notify.queueDir)).toEqual([]);
    expect(service.requests.map((request) => check(request).text.split(':')[0])).toEqual([
      'resolve info garner wiki on web1.example.test',
      'trigger error garner forum on web1.example.test',
    ]);
  } finally {
    rmSync(root, { recursive: true });
  }
});

it('takes an answer that says no for one', async () => {
  await using receiver = await httpReceiver(settings, () => ({
    text: '',
    id: '',
    answer: { status: 202, body: '{"status":"invalid event","errors":["no such key"]}' },
  }));
  const sending = openTransport(pagerduty, receiver.settings)!.send(plainMessage(), NO_LIMIT);
  await expect(sending).rejects.toThrow(/PagerDuty at 127.*it answered: .*no such key/);
});
