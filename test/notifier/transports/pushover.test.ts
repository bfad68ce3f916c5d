import { expect, it } from 'vitest';
import { makeMessage } from '../../../notifier/message.ts';
import pushover from '../../../notifier/transports/pushover.ts';
import {
  describeTransport,
  httpReceiver,
  NO_LIMIT,
  openTransport,
  plainMessage,
  type Taken,
} from '../../contract/transport-contract.ts';
import type { ServiceRequest } from '../../helpers/http-service.ts';

const TOKEN = 'azGDORePK8gMaC0QOYAMyEEuzJnyUi';
const USER = 'uQiRzpo4DXghDmr9QzzfQu27cmVRsG';

/** https://pushover.net/api#messages, #limits, #priority, #timestamp and #response */
function check({ method, path, headers, body }: ServiceRequest): Taken {
  if (method !== 'POST' || path !== '/1/messages.json') throw 'not found';
  if (headers['content-type'] !== 'application/x-www-form-urlencoded') throw 'parameters are missing';
  const {
    token,
    user,
    message = '',
    title,
    priority,
    timestamp,
    ...others
  } = Object.fromEntries(new URLSearchParams(body));
  if (token !== TOKEN) throw 'application token is invalid';
  if (user !== USER) throw 'user identifier is not a valid user, group, or subscribed user key';
  if (message === '') throw 'message cannot be blank';
  if ([...message].length > 1024) throw 'message is too long';
  if ([...(title ?? '')].length > 250) throw 'title is too long';
  // 2 would need `retry` and `expire`
  if (!['-2', '-1', '0', '1'].includes(priority as string)) throw 'priority is invalid';
  if (Math.abs(Number(timestamp) * 1000 - Date.now()) > 60_000) throw 'timestamp is invalid';
  if ('html' in others) throw 'markup would be shown as such';
  const id = /Message ([0-9a-f-]{36})$/.exec(message)?.[1] ?? '';
  const answer = { status: 200, body: '{"status":1,"request":"647d2300-702c-4b38-8b2f-d56326ae460b"}' };
  return { text: `${priority} ${title}\n${message}`, id, answer };
}

const settings = (url: string) => ({
  NOTIFY_PUSHOVER_URL: `${url}/1/messages.json`,
  NOTIFY_PUSHOVER_TOKEN: TOKEN,
  NOTIFY_PUSHOVER_USER: USER,
});
const start = () => httpReceiver(settings, check);

describeTransport({
  name: 'pushover',
  transport: pushover,
  start,
  secrets: [TOKEN, USER],
  needs: { NOTIFY_PUSHOVER_TOKEN: 'NOTIFY_PUSHOVER_TOKEN', NOTIFY_PUSHOVER_USER: 'NOTIFY_PUSHOVER_USER' },
});

it.each([
  ['OK', -1],
  ['WARNINGS', 0],
  ['LOCKED', 0],
  ['FAILED', 1],
  ['MISSED', 1],
] as const)('tells %s with priority %i', async (result, priority) => {
  await using receiver = await start();
  const message = makeMessage({ ...plainMessage(), result });
  await openTransport(pushover, receiver.settings)?.send(message, NO_LIMIT);
  expect(receiver.taken).toEqual([
    `${priority} [garner] ${result} mediawiki on web1.example.test: 12.3 MB\n` +
      `Archive: /var/lib/garner/work/mediawiki.tar\n\nMessage ${message.id}`,
  ]);
});

it('takes an answer that says no for one', async () => {
  await using receiver = await httpReceiver(settings, () => ({
    text: '',
    id: '',
    answer: { status: 200, body: '{"user":"invalid","errors":["user identifier is invalid"],"status":0}' },
  }));
  const sending = openTransport(pushover, receiver.settings)!.send(plainMessage(), NO_LIMIT);
  await expect(sending).rejects.toThrow(/Pushover at 127.*it answered: .*user identifier is invalid/);
});

it('goes to Pushover itself where nothing else is set', () => {
  const { NOTIFY_PUSHOVER_URL: _, ...others } = settings('');
  expect(openTransport(pushover, others)?.to).toBe('api.pushover.net');
});
