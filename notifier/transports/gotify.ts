// Gotify: a message of an application, by its token, shown as plain text.
import { HTTP_SETTINGS, httpUrl, json, openHttp, token } from '../http.ts';
import { type Message, subjectOf } from '../message.ts';
import { shortTextOf } from '../short-text.ts';
import { defineTransport, required } from '../transport.ts';

/** Gotify has no limit; nobody reads more on a phone. */
const LONGEST_TEXT = 10_000;

/** The Android app is silent up to 3, makes a sound from 4 and is loud from 8 on. */
const PRIORITIES: Record<Message['result'], number> = {
  OK: 2,
  WARNINGS: 5,
  LOCKED: 5,
  FAILED: 8,
  MISSED: 8,
};

export default defineTransport({
  settings: {
    NOTIFY_GOTIFY_URL: { parse: httpUrl, describe: 'the address of a Gotify server' },
    NOTIFY_GOTIFY_TOKEN: { parse: token, secret: true, describe: 'the token of an application in Gotify' },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const set = required(values, 'NOTIFY_GOTIFY_URL', 'NOTIFY_GOTIFY_TOKEN');
    if (set === undefined) return undefined;
    const { NOTIFY_GOTIFY_URL: url, NOTIFY_GOTIFY_TOKEN: key } = set;
    const service = openHttp('Gotify', url, 'NOTIFY_GOTIFY_TOKEN', values);
    const address = new URL(`${url.pathname.replace(/\/$/, '')}/message`, url);
    return {
      to: service.host,
      async send(message, signal) {
        const body = json({
          title: subjectOf(message),
          message: shortTextOf(message, LONGEST_TEXT),
          priority: PRIORITIES[message.result],
          extras: { 'client::display': { contentType: 'text/plain' } },
        });
        await service.send({ url: address, headers: { 'X-Gotify-Key': key }, body }, signal);
        return [];
      },
    };
  },
});
