// ntfy, hosted or one's own: published as JSON, in which a title may have any letters. A repetition replaces the
// notification that it repeats.
import { cannot } from '../../lib/errors.ts';
import { HTTP_SETTINGS, json, openHttp, secretUrl, token } from '../http.ts';
import { type Message, subjectOf } from '../message.ts';
import { shortTextOf } from '../short-text.ts';
import { defineTransport } from '../transport.ts';

/** By https://docs.ntfy.sh/publish/#limitations: what is longer becomes an attachment. */
const LONGEST_BYTES = 4096;

/** https://docs.ntfy.sh/publish/#message-priority and the signs that stand for tags in https://docs.ntfy.sh/emojis/ */
const LOOKS: Record<Message['result'], { priority: number; tags: string[] }> = {
  OK: { priority: 2, tags: ['white_check_mark'] },
  WARNINGS: { priority: 3, tags: ['warning'] },
  LOCKED: { priority: 3, tags: ['lock'] },
  FAILED: { priority: 4, tags: ['x'] },
  MISSED: { priority: 4, tags: ['alarm_clock'] },
};

const topicUrl = (value: string): URL => {
  const url = secretUrl(value);
  if (!/^\/[-_A-Za-z0-9]{1,64}$/.test(url.pathname) || url.search !== '') {
    throw 'it is not https://host/topic, the topic of letters, digits, - and _';
  }
  return url;
};

export default defineTransport({
  settings: {
    NOTIFY_NTFY_URL: {
      parse: topicUrl,
      secret: true,
      describe:
        '`https://ntfy.sh/<topic>`, or the same of a server of your own; `https://user:password@…` logs in',
    },
    NOTIFY_NTFY_TOKEN: { parse: token, secret: true, describe: 'an access token of ntfy, tk_…' },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const { NOTIFY_NTFY_URL: url, NOTIFY_NTFY_TOKEN: key } = values;
    if (url === undefined) return undefined;
    if (key !== undefined && url.username !== '') {
      throw cannot('configuration', 'use setting', 'NOTIFY_NTFY_TOKEN', 'NOTIFY_NTFY_URL has a user too', {
        hint: 'keep one of them',
      });
    }
    const service = openHttp('ntfy', url, 'NOTIFY_NTFY_URL', values);
    return {
      to: `a topic at ${service.host}`,
      async send(message, signal) {
        const body = json({
          topic: url.pathname.slice(1),
          title: subjectOf(message),
          message: shortTextOf(message, LONGEST_BYTES, 'bytes'),
          ...LOOKS[message.result],
        });
        const headers = {
          'X-Sequence-ID': message.id,
          ...(key !== undefined && { Authorization: `Bearer ${key}` }),
        };
        await service.send({ url: new URL('/', url), headers, body }, signal);
        return [];
      },
    };
  },
});
