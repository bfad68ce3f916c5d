// Any address that takes JSON: the message as it is, or in a form of one's own. Signed by the Standard Webhooks
// specification, where there is a secret: https://github.com/standard-webhooks/standard-webhooks
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cannot } from '../../lib/errors.ts';
import { path, text } from '../../lib/settings.ts';
import { HTTP_SETTINGS, openHttp, secretUrl } from '../http.ts';
import { type Message, subjectOf, textOf } from '../message.ts';
import { defineTransport, required } from '../transport.ts';

/** What `{{…}}` in a template stands for. */
const PLACEHOLDERS: Record<string, (message: Message) => string> = {
  id: ({ id }) => id,
  time: ({ time }) => time,
  result: ({ result }) => result,
  level: ({ level }) => level,
  name: ({ name }) => name,
  host: ({ host }) => host,
  summary: ({ summary }) => summary,
  subject: subjectOf,
  text: textOf,
};

/** JSON, in whose texts placeholders are replaced: what comes of it is JSON whatever a message says. */
type Template = (message: Message) => unknown;

function readTemplate(file: string): Template {
  try {
    return templateOf(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw cannot('configuration', 'use NOTIFY_WEBHOOK_TEMPLATE_FILE', file, error, {
      hint: 'it is JSON, with placeholders in its texts: {"title": "{{subject}}"}',
    });
  }
}

function templateOf(value: unknown): Template {
  if (typeof value === 'string') {
    for (const [, name = ''] of value.matchAll(/\{\{(.*?)\}\}/g)) {
      if (!Object.hasOwn(PLACEHOLDERS, name)) {
        throw `there is no {{${name}}}, only ${Object.keys(PLACEHOLDERS).join(', ')}`;
      }
    }
    return (message) => value.replace(/\{\{(\w+)\}\}/g, (_, name: string) => PLACEHOLDERS[name]!(message));
  }
  if (Array.isArray(value)) {
    const items = value.map(templateOf);
    return (message) => items.map((item) => item(message));
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, item]) => [key, templateOf(item)] as const);
    return (message) => Object.fromEntries(entries.map(([key, item]) => [key, item(message)]));
  }
  return () => value;
}

/** The key: of a secret as the specification writes it (`whsec_` and base64) the bytes, of any other its text. */
const keyOf = (secret: string): Buffer =>
  secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret);

const sign = (secret: string, signed: string): string =>
  `v1,${createHmac('sha256', keyOf(secret)).update(signed).digest('base64')}`;

export default defineTransport({
  settings: {
    NOTIFY_WEBHOOK_URL: {
      parse: secretUrl,
      secret: true,
      describe: 'an address that takes messages as JSON',
    },
    NOTIFY_WEBHOOK_TEMPLATE_FILE: {
      parse: path,
      describe:
        'a file with the JSON to send, with `{{subject}}` and the like in its texts; unset: all of the message',
    },
    NOTIFY_WEBHOOK_SECRET: {
      parse: text,
      secret: true,
      describe: 'what requests are signed with; unset: they are not',
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const { NOTIFY_WEBHOOK_TEMPLATE_FILE: file, NOTIFY_WEBHOOK_SECRET: secret } = values;
    const url = values.NOTIFY_WEBHOOK_URL;
    if (url === undefined) {
      for (const other of ['NOTIFY_WEBHOOK_TEMPLATE_FILE', 'NOTIFY_WEBHOOK_SECRET'] as const) {
        if (values[other] !== undefined) required(values, other, 'NOTIFY_WEBHOOK_URL');
      }
      return undefined;
    }
    const service = openHttp('the webhook', url, 'NOTIFY_WEBHOOK_URL', values);
    const template = file === undefined ? undefined : readTemplate(file);
    return {
      to: `the webhook at ${service.host}`,
      async send(message, signal) {
        const content = JSON.stringify(
          template?.(message) ?? { subject: subjectOf(message), text: textOf(message), ...message },
        );
        const timestamp = `${Math.floor(Date.now() / 1000)}`;
        const headers = {
          'webhook-id': message.id,
          'webhook-timestamp': timestamp,
          ...(secret !== undefined && {
            'webhook-signature': sign(secret, `${message.id}.${timestamp}.${content}`),
          }),
        };
        await service.send({ headers, body: { type: 'application/json', content } }, signal);
        return [];
      },
    };
  },
});
