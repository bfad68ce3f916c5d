import { expect, it } from 'vitest';
import { makeMessage } from '../../../notifier/message.ts';
import ntfy from '../../../notifier/transports/ntfy.ts';
import {
  describeTransport,
  httpReceiver,
  NO_LIMIT,
  openTransport,
  plainMessage,
  type Taken,
} from '../../contract/transport-contract.ts';
import type { ServiceRequest } from '../../helpers/http-service.ts';

const TOPIC = 'backups-Hq3vX0bW8z';
const TOKEN = 'tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2';

/** https://docs.ntfy.sh/publish/#publish-as-json, #limitations, #access-tokens, #updating-deleting-notifications */
function check({ method, path, headers, body }: ServiceRequest): Taken {
  if (method !== 'POST' || path !== '/') throw 'page not found';
  if (headers.authorization !== `Bearer ${TOKEN}`) throw 'unauthorized';
  const { topic, title, message, priority, tags, ...others } = JSON.parse(body);
  if (Object.keys(others).length > 0) throw `it does not know ${Object.keys(others)}`;
  if (topic !== TOPIC) throw 'topic is invalid';
  if (Buffer.byteLength(message) > 4096) throw 'message becomes an attachment';
  if (Buffer.byteLength(title) > 1024 || Buffer.byteLength(tags.join()) > 512) throw 'title or tags too long';
  if (![1, 2, 3, 4, 5].includes(priority)) throw 'priority invalid';
  const id = String(headers['x-sequence-id']);
  if (!/^[-_A-Za-z0-9]{1,64}$/.test(id)) throw 'sequence ID invalid';
  const answer = { status: 200, body: JSON.stringify({ id: 'hwQ2YpKdmg', event: 'message', topic }) };
  return { text: `${priority} ${tags} ${title}\n${message}`, id, answer };
}

const start = () =>
  httpReceiver((url) => ({ NOTIFY_NTFY_URL: `${url}/${TOPIC}`, NOTIFY_NTFY_TOKEN: TOKEN }), check);

describeTransport({ name: 'ntfy', transport: ntfy, start, secrets: [TOPIC, TOKEN], needs: {} });

it.each([
  ['OK', 2, 'white_check_mark'],
  ['WARNINGS', 3, 'warning'],
  ['LOCKED', 3, 'lock'],
  ['FAILED', 4, 'x'],
  ['MISSED', 4, 'alarm_clock'],
] as const)('tells %s with priority %i', async (result, priority, tag) => {
  await using receiver = await start();
  const message = makeMessage({ ...plainMessage(), result, name: 'wïki' });
  await openTransport(ntfy, receiver.settings)?.send(message, NO_LIMIT);
  expect(receiver.taken).toEqual([
    `${priority} ${tag} [garner] ${result} wïki on web1.example.test: 12.3 MB\n` +
      `Archive: /var/lib/garner/work/mediawiki.tar\n\nMessage ${message.id}`,
  ]);
});

it('logs in by user and password', async () => {
  let authorization: string | undefined;
  await using receiver = await httpReceiver(
    (url) => ({
      NOTIFY_NTFY_URL: `${url.replace('//', '//phil:myp%C3%A4ss%3A1@')}/${TOPIC}`,
    }),
    ({ headers }) => {
      authorization = headers.authorization;
      return { text: '', id: '', answer: { status: 200 } };
    },
  );
  await openTransport(ntfy, receiver.settings)?.send(plainMessage(), NO_LIMIT);
  expect(authorization).toBe(`Basic ${Buffer.from('phil:mypäss:1').toString('base64')}`);
});

it.each([
  [
    { NOTIFY_NTFY_URL: `https://phil:secret99@ntfy.sh/${TOPIC}`, NOTIFY_NTFY_TOKEN: TOKEN },
    /NOTIFY_NTFY_TOKEN.*NOTIFY_NTFY_URL has a user too/,
  ],
  [{ NOTIFY_NTFY_URL: 'https://ntfy.sh/' }, /NOTIFY_NTFY_URL.*its value.*it is not https:\/\/host\/topic/],
  [{ NOTIFY_NTFY_URL: 'https://ntfy.sh/a/b' }, /NOTIFY_NTFY_URL/],
])('refuses %o', (settings, says) => {
  expect(() => openTransport(ntfy, settings)).toThrow(says);
});
