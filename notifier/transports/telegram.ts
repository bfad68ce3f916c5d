// Telegram's Bot API. What is bold and what is code is said beside the text, so that nothing in the text is markup.
import { titleOf } from '../chat.ts';
import { HTTP_SETTINGS, httpUrl, json, openHttp } from '../http.ts';
import { shortTextOf } from '../short-text.ts';
import { defineTransport, required } from '../transport.ts';

/** By https://core.telegram.org/bots/api#sendmessage; counted in UTF-16 units, as entities are. */
const LONGEST_TEXT = 4096;

const botToken = (value: string): string => {
  if (!/^\d+:[\w-]+$/.test(value)) throw 'it is not like 123456:ABC-DEF';
  return value;
};
const chat = (value: string): string => {
  if (!/^(-?\d+|@\w+)$/.test(value)) throw 'it is neither a number nor @name';
  return value;
};

export default defineTransport({
  settings: {
    NOTIFY_TELEGRAM_TOKEN: { parse: botToken, secret: true, describe: "the token of a bot of Telegram's" },
    NOTIFY_TELEGRAM_CHAT: {
      parse: chat,
      describe: 'where the bot writes: the number of a chat, or @channel',
    },
    NOTIFY_TELEGRAM_URL: {
      parse: httpUrl,
      default: 'https://api.telegram.org',
      describe: 'the address of the Bot API, for those who have a server of their own',
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const set = required(values, 'NOTIFY_TELEGRAM_TOKEN', 'NOTIFY_TELEGRAM_CHAT');
    if (set === undefined) return undefined;
    const base = values.NOTIFY_TELEGRAM_URL;
    const service = openHttp('Telegram', base, 'NOTIFY_TELEGRAM_TOKEN', values);
    const url = new URL(`${base.href.replace(/\/$/, '')}/bot${set.NOTIFY_TELEGRAM_TOKEN}/sendMessage`);
    return {
      to: `chat ${set.NOTIFY_TELEGRAM_CHAT} at ${service.host}`,
      async send(message, signal) {
        const title = titleOf(message);
        const body = shortTextOf(message, LONGEST_TEXT - title.length - 1).trim();
        const content = {
          chat_id: set.NOTIFY_TELEGRAM_CHAT,
          text: `${title}\n${body}`,
          entities: [
            { type: 'bold', offset: 0, length: title.length },
            { type: 'pre', offset: title.length + 1, length: body.length },
          ],
          link_preview_options: { is_disabled: true },
          disable_notification: message.result === 'OK',
        };
        const answer = await service.send({ url, body: json(content) }, signal);
        if (!/^\s*\{\s*"ok":\s*true/.test(answer)) throw service.refused(answer);
        return [];
      },
    };
  },
});
