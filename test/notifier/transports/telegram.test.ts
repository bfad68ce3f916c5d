import { expect, it } from 'vitest';
import telegram from '../../../notifier/transports/telegram.ts';
import {
  describeTransport,
  hostileMessage,
  httpReceiver,
  NO_LIMIT,
  openTransport,
  plainMessage,
  type Taken,
} from '../../contract/transport-contract.ts';
import type { ServiceRequest } from '../../helpers/http-service.ts';

const TOKEN = '123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw';

/** https://core.telegram.org/bots/api#sendmessage and https://core.telegram.org/bots/api#messageentity */
function check({ method, path, headers, body }: ServiceRequest): Taken {
  if (method !== 'POST' || path !== `/bot${TOKEN}/sendMessage`) throw 'Not Found';
  if (headers['content-type'] !== 'application/json') throw 'message text is empty';
  const { chat_id: chat, text, entities, ...others } = JSON.parse(body);
  if (chat !== '-1001234567890') throw 'chat not found';
  if (typeof text !== 'string' || text.trim() === '') throw 'message text is empty';
  if (text.length > 4096) throw 'message is too long';
  if ('parse_mode' in others) throw "can't parse entities";
  // it trims the text, and offsets must fit what it has trimmed; they count UTF-16 units
  if (text !== text.trim()) throw 'offsets move';
  const styled = entities.map(
    ({ type, offset, length }: { type: string; offset: number; length: number }) => [
      type,
      text.slice(offset, offset + length),
    ],
  );
  const [[first, title], [second, rest]] = styled;
  if (first !== 'bold' || second !== 'pre' || `${title}\n${rest}` !== text) throw 'ENTITY_BOUNDS_INVALID';
  if (others.link_preview_options?.is_disabled !== true) throw 'somebody asks the servers that a log names';
  const id = /Message ([0-9a-f-]{36})$/.exec(text)?.[1] ?? '';
  return { text, id, answer: { status: 200, body: '{"ok":true,"result":{"message_id":7}}' } };
}

const start = () =>
  httpReceiver(
    (url) => ({
      NOTIFY_TELEGRAM_URL: url,
      NOTIFY_TELEGRAM_TOKEN: TOKEN,
      NOTIFY_TELEGRAM_CHAT: '-1001234567890',
    }),
    check,
  );

describeTransport({
  name: 'telegram',
  transport: telegram,
  start,
  secrets: [TOKEN],
  needs: {
    NOTIFY_TELEGRAM_TOKEN: 'NOTIFY_TELEGRAM_TOKEN',
    NOTIFY_TELEGRAM_CHAT: 'NOTIFY_TELEGRAM_CHAT',
  },
});

it('shows a message as it is, and signs of markup as signs', async () => {
  await using receiver = await start();
  const channel = openTransport(telegram, receiver.settings)!;
  const message = plainMessage();
  await channel.send(message, NO_LIMIT);
  await channel.send(hostileMessage(), NO_LIMIT);
  expect(receiver.taken[0]).toBe(
    `✅ OK mediawiki on web1.example.test: 12.3 MB\nArchive: /var/lib/garner/work/mediawiki.tar\n\nMessage ${message.id}`,
  );
  expect(receiver.taken[1]).toContain('<b>bold</b> <!channel> <@U1> @everyone');
  expect(receiver.taken[1]).toContain('the last line 💾');
});

it('takes an answer that says no for one', async () => {
  await using receiver = await httpReceiver(
    (url) => ({ NOTIFY_TELEGRAM_URL: url, NOTIFY_TELEGRAM_TOKEN: TOKEN, NOTIFY_TELEGRAM_CHAT: '@backups' }),
    () => ({
      text: '',
      id: '',
      answer: { status: 200, body: '{"ok":false,"description":"chat not found"}' },
    }),
  );
  const sending = openTransport(telegram, receiver.settings)!.send(plainMessage(), NO_LIMIT);
  await expect(sending).rejects.toThrow(/Telegram at 127.*it answered: .*chat not found/);
});
