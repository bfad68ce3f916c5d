// ntfy, hosted or one's own: published as JSON, in which a title may have any letters. A repetition replaces the
// notification that it repeats.
import { cannot } from '../../lib/errors.ts';
import { text } from '../../lib/settings.ts';
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
      describe: 'https://ntfy.sh/<topic>, or the same of a server of your own; who knows the topic reads it',
    },
    NOTIFY_NTFY_TOKEN: { parse: token, secret: true, describe: 'an access token of ntfy, tk_…' },
    NOTIFY_NTFY_USER: { parse: text, describe: 'a user of ntfy, where there is no token' },
    NOTIFY_NTFY_PASSWORD: { parse: text, secret: true, describe: "the password of ntfy's user" },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const { NOTIFY_NTFY_URL: url, NOTIFY_NTFY_USER: user, NOTIFY_NTFY_PASSWORD: password } = values;
    if (url === undefined) return undefined;
    const lacks = (setting: string, cause: string) => cannot('configuration', 'use setting', setting, cause);
    if (user !== undefined && password === undefined) {
      throw lacks('NOTIFY_NTFY_USER', 'NOTIFY_NTFY_PASSWORD is not set');
    }
    if (user === undefined && password !== undefined) {
      throw lacks('NOTIFY_NTFY_PASSWORD', 'NOTIFY_NTFY_USER is not set');
    }
    if (user !== undefined && values.NOTIFY_NTFY_TOKEN !== undefined) {
      throw lacks('NOTIFY_NTFY_USER', 'NOTIFY_NTFY_TOKEN is set too: keep one of them');
    }
    const service = openHttp('ntfy', url, 'NOTIFY_NTFY_URL', values);
    const key = values.NOTIFY_NTFY_TOKEN;
    const headers: Record<string, string> = {};
    if (key !== undefined) headers.Authorization = `Bearer ${key}`;
    if (user !== undefined) {
      headers.Authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    }
    return {
      to: `a topic at ${service.host}`,
      async send(message, signal) {
        const body = json({
          topic: url.pathname.slice(1),
          title: subjectOf(message),
          message: shortTextOf(message, LONGEST_BYTES, 'bytes'),
          ...LOOKS[message.result],
        });
        const request = {
          url: new URL('/', url),
          headers: { ...headers, 'X-Sequence-ID': message.id },
          body,
        };
        await service.send(request, signal);
        return [];
      },
    };
  },
});
