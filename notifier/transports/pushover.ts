// Pushover: failures are of high priority, which rings in quiet hours too; what is well makes no sound.
import { form, HTTP_SETTINGS, httpUrl, openHttp, token } from '../http.ts';
import { type Message, subjectOf } from '../message.ts';
import { cutEnd, shortTextOf } from '../short-text.ts';
import { defineTransport, required } from '../transport.ts';

/** https://pushover.net/api#limits */
const LONGEST_TEXT = 1024;
const LONGEST_TITLE = 250;

/** https://pushover.net/api#priority; 2 would ring until somebody confirms, day and night. */
const PRIORITIES: Record<Message['result'], number> = {
  OK: -1,
  WARNINGS: 0,
  LOCKED: 0,
  FAILED: 1,
  MISSED: 1,
};

export default defineTransport({
  settings: {
    NOTIFY_PUSHOVER_TOKEN: {
      parse: token,
      secret: true,
      describe: 'the API token of an application in Pushover',
    },
    NOTIFY_PUSHOVER_USER: {
      parse: token,
      secret: true,
      describe: 'the key of the user or group of Pushover that gets messages',
    },
    NOTIFY_PUSHOVER_URL: {
      parse: httpUrl,
      default: 'https://api.pushover.net/1/messages.json',
      describe: 'where Pushover takes messages',
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const set = required(values, 'NOTIFY_PUSHOVER_TOKEN', 'NOTIFY_PUSHOVER_USER');
    if (set === undefined) return undefined;
    const { NOTIFY_PUSHOVER_TOKEN: key, NOTIFY_PUSHOVER_USER: user } = set;
    const service = openHttp('Pushover', values.NOTIFY_PUSHOVER_URL, 'NOTIFY_PUSHOVER_TOKEN', values);
    return {
      to: service.host,
      async send(message, signal) {
        const body = form({
          token: key,
          user,
          title: cutEnd(subjectOf(message), LONGEST_TITLE),
          message: shortTextOf(message, LONGEST_TEXT),
          priority: `${PRIORITIES[message.result]}`,
          timestamp: `${Math.floor(Date.parse(message.time) / 1000)}`,
        });
        const answer = await service.send({ body }, signal);
        if (!/"status":\s*1\b/.test(answer)) throw service.refused(answer);
        return [];
      },
    };
  },
});
