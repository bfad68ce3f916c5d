import { expect, it } from 'vitest';
import { makeMessage } from '../../../notifier/message.ts';
import gotify from '../../../notifier/transports/gotify.ts';
import {
  describeTransport,
  httpReceiver,
  NO_LIMIT,
  openTransport,
  plainMessage,
  type Taken,
} from '../../contract/transport-contract.ts';
import type { ServiceRequest } from '../../helpers/http-service.ts';

const TOKEN = 'AKgYlYQEbCr0zSh';

/** https://gotify.net/api-docs#/message/createMessage and https://gotify.net/docs/msgextras */
function check({ method, path, headers, body }: ServiceRequest): Taken {
  if (method !== 'POST' || path !== '/gotify/message') throw 'page not found';
  if (headers['x-gotify-key'] !== TOKEN) throw 'you need to provide a valid access token';
  if (!headers['content-type']?.startsWith('application/json')) throw 'a form has other names';
  const { title, message, priority, extras, ...others } = JSON.parse(body);
  if (Object.keys(others).length > 0) throw `it does not know ${Object.keys(others)}`;
  if (typeof message !== 'string' || message === '') throw "Field 'message' is required";
  if (!Number.isInteger(priority) || typeof title !== 'string') throw 'wrong type';
  if (extras['client::display'].contentType !== 'text/plain') throw 'it would be shown as Markdown';
  const id = /Message ([0-9a-f-]{36})$/.exec(message)?.[1] ?? '';
  const answer = { status: 200, body: JSON.stringify({ id: 25, appid: 5, message, title, priority }) };
  return { text: `${priority} ${title}\n${message}`, id, answer };
}

const start = () =>
  httpReceiver((url) => ({ NOTIFY_GOTIFY_URL: `${url}/gotify/`, NOTIFY_GOTIFY_TOKEN: TOKEN }), check);

describeTransport({
  name: 'gotify',
  transport: gotify,
  start,
  secrets: [TOKEN],
  needs: { NOTIFY_GOTIFY_URL: 'NOTIFY_GOTIFY_URL', NOTIFY_GOTIFY_TOKEN: 'NOTIFY_GOTIFY_TOKEN' },
});

it.each([
  ['OK', 2],
  ['WARNINGS', 5],
  ['LOCKED', 5],
  ['FAILED', 8],
  ['MISSED', 8],
] as const)('tells %s with priority %i', async (result, priority) => {
  await using receiver = await start();
  const message = makeMessage({ ...plainMessage(), result });
  await openTransport(gotify, receiver.settings)?.send(message, NO_LIMIT);
  expect(receiver.taken).toEqual([
    `${priority} [garner] ${result} mediawiki on web1.example.test: 12.3 MB\n` +
      `Archive: /var/lib/garner/work/mediawiki.tar\n\nMessage ${message.id}`,
  ]);
});
