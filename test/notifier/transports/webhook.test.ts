import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, expect, it } from 'vitest';
import { subjectOf, textOf } from '../../../notifier/message.ts';
import webhook from '../../../notifier/transports/webhook.ts';
import {
  describeTransport,
  hostileMessage,
  httpReceiver,
  NO_LIMIT,
  openTransport,
  plainMessage,
  type Taken,
} from '../../contract/transport-contract.ts';
import { type ServiceRequest, startHttpService } from '../../helpers/http-service.ts';

const PATH = '/hooks/backup?key=0123456789abcdef';
const SECRET = 'a secret: with "quotes" & $signs';
const directory = mkdtempSync(join(tmpdir(), 'garner-webhook-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** @returns the path of a template with this content */
function template(content: string): string {
  const file = join(directory, 'template.json');
  writeFileSync(file, content);
  return file;
}

/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: the headers. */
function check({ method, path, headers, body }: ServiceRequest): Taken {
  if (method !== 'POST' || path !== PATH) throw 'not found';
  if (headers['content-type'] !== 'application/json') throw 'not JSON';
  const id = headers['webhook-id'] as string;
  if (!/^\d{10}$/.test(headers['webhook-timestamp'] as string)) throw 'webhook-timestamp: seconds';
  if (!/^v1,[\w+/]{43}=$/.test(headers['webhook-signature'] as string)) throw 'webhook-signature';
  const message = JSON.parse(body);
  if (message.id !== id) throw 'webhook-id';
  return { text: message.text, id, answer: { status: 204 } };
}

const start = () =>
  httpReceiver((url) => ({ NOTIFY_WEBHOOK_URL: `${url}${PATH}`, NOTIFY_WEBHOOK_SECRET: SECRET }), check);

describeTransport({
  name: 'webhook',
  transport: webhook,
  start,
  secrets: ['0123456789abcdef', SECRET],
  needs: { NOTIFY_WEBHOOK_URL: 'NOTIFY_WEBHOOK_URL' },
});

/** What the service at `url` got of one message. */
async function send(settings: Record<string, string>, message = plainMessage()): Promise<ServiceRequest> {
  await using service = await startHttpService(() => ({ status: 200 }));
  const channel = openTransport(webhook, { NOTIFY_WEBHOOK_URL: `${service.url}${PATH}`, ...settings })!;
  await channel.send(message, NO_LIMIT);
  return service.requests[0]!;
}

it('sends all of a message, unsigned without a secret', async () => {
  const message = hostileMessage();
  const { body, headers } = await send({}, message);
  expect(JSON.parse(body)).toEqual({ subject: subjectOf(message), text: textOf(message), ...message });
  expect(headers['webhook-signature']).toBeUndefined();
});

it.each([
  ['any text', SECRET, Buffer.from(SECRET)],
  [
    'whsec_ and base64',
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64'),
  ],
])('signs with a secret of %s what openssl signs the same', async (_, secret, key) => {
  const { body, headers } = await send({ NOTIFY_WEBHOOK_SECRET: secret }, hostileMessage());
  // the very command of docs/transports.md
  const page = readFileSync(join(import.meta.dirname, '../../../docs/transports.md'), 'utf8');
  const command = /^```sh\n([\s\S]*?openssl dgst[\s\S]*?)^```$/m.exec(page)?.[1];
  expect(command).toBeDefined();
  writeFileSync(join(directory, 'body'), body);
  const { stdout } = await execa('sh', ['-euc', command!], {
    cwd: directory,
    env: {
      KEY: key.toString('hex'),
      ID: headers['webhook-id'] as string,
      TIMESTAMP: headers['webhook-timestamp'] as string,
    },
  });
  expect(`v1,${stdout}`).toBe(headers['webhook-signature']);
});

it('logs in as the address says', async () => {
  await using service = await startHttpService(() => ({ status: 200 }));
  const url = service.url.replace('//', '//backup:p%40ssword@');
  const channel = openTransport(webhook, { NOTIFY_WEBHOOK_URL: url })!;
  await channel.send(plainMessage(), NO_LIMIT);
  const login = Buffer.from('backup:p@ssword').toString('base64');
  expect(service.requests[0]?.headers.authorization).toBe(`Basic ${login}`);
  expect(channel.to).toBe(`the webhook at 127.0.0.1:${service.port}`);
});

it('fills a template in, which stays JSON whatever a message says', async () => {
  const file = template(
    '{"title": "{{subject}} ({{result}})", "nested": [{"{{key}}": "{{text}}{{text}}"}, 1, null], "to": "$1"}',
  );
  const message = hostileMessage();
  const { body } = await send({ NOTIFY_WEBHOOK_TEMPLATE_FILE: file }, message);
  expect(JSON.parse(body)).toEqual({
    title: `${subjectOf(message)} (FAILED)`,
    nested: [{ '{{key}}': textOf(message).repeat(2) }, 1, null],
    to: '$1',
  });
});

it.each([
  ['{"a": "{{sumary}}"}', 'there is no {{sumary}}, only id, time, result,'],
  ['{"a": {{summary}}}', 'JSON'],
])('refuses the template %s', async (content, problem) => {
  await expect(send({ NOTIFY_WEBHOOK_TEMPLATE_FILE: template(content) })).rejects.toMatchObject({
    code: 'configuration',
    message: expect.stringContaining(problem),
  });
});

it('refuses a template or a secret that has no address', () => {
  for (const name of ['NOTIFY_WEBHOOK_SECRET', 'NOTIFY_WEBHOOK_TEMPLATE_FILE']) {
    expect(() => openTransport(webhook, { [name]: 'something' })).toThrow('NOTIFY_WEBHOOK_URL is missing');
  }
});
