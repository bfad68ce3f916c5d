import { expect, it } from 'vitest';
import discord from '../../../notifier/transports/discord.ts';
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

const SECRET = 'kWq8yHk3secretsecretsecret_-TOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKEN';
const PATH = `/api/webhooks/223704706495545344/${SECRET}`;

/**
 * https://docs.discord.com/developers/resources/webhook#execute-webhook and
 * https://docs.discord.com/developers/resources/message#embed-object-embed-limits
 */
function check({ method, path, headers, body }: ServiceRequest): Taken {
  const url = new URL(path, 'http://discord.test');
  if (method !== 'POST' || url.pathname !== PATH) throw 'Unknown Webhook';
  if (url.searchParams.get('wait') !== 'true') throw 'what is not kept is no error';
  if (headers['content-type'] !== 'application/json') throw 'Empty message';
  const { content, embeds, allowed_mentions: mentions, ...others } = JSON.parse(body);
  if (Object.keys(others).length > 0 || content !== undefined) throw 'not expected';
  if (mentions?.parse?.length !== 0) throw 'everybody may be addressed';
  if (embeds.length !== 1) throw 'embeds';
  const { title, description, color, timestamp, ...more } = embeds[0];
  if (Object.keys(more).length > 0) throw `not expected: ${Object.keys(more)}`;
  if (title.length > 256 || description.length > 4096) throw 'Must be 256 or 4096 or fewer in length.';
  if (!Number.isInteger(color) || color < 0 || color > 0xffffff) throw 'color';
  if (Number.isNaN(Date.parse(timestamp))) throw 'timestamp';
  if (/(?<!\\)[*_`~|[<@]/.test(title.replaceAll('\\\\', ''))) throw `markup in the title: ${title}`;
  if (description.split('```').length !== 3 || !/^```\n[\s\S]*\n```$/.test(description))
    throw 'the block of code ends';
  const text = `${title.replace(/\\(.)/g, '$1')}\n${description}`;
  const id = /Message ([0-9a-f-]{36})/.exec(description)?.[1] ?? '';
  return {
    text,
    id,
    answer: { status: 200, body: '{"id":"1"}', headers: { 'content-type': 'application/json' } },
  };
}

const start = () => httpReceiver((url) => ({ NOTIFY_DISCORD_URL: `${url}${PATH}` }), check);

describeTransport({ name: 'discord', transport: discord, start, secrets: [SECRET], needs: {} });

it('shows a message as it is, and signs of markup as signs', async () => {
  await using receiver = await start();
  const channel = openTransport(discord, receiver.settings)!;
  const message = plainMessage();
  await channel.send(message, NO_LIMIT);
  await channel.send(hostileMessage(), NO_LIMIT);
  expect(receiver.taken[0]).toBe(
    `✅ OK mediawiki on web1.example.test: 12.3 MB\n\`\`\`\nArchive: /var/lib/garner/work/mediawiki.tar\n\nMessage ${message.id}\n\`\`\``,
  );
  expect(receiver.taken[1]).toContain('wïki<b>*_`@everyone💾');
  expect(receiver.taken[1]).toContain('the last line 💾');
});

it('keeps what the address says of a thread', async () => {
  let path = '';
  await using receiver = await httpReceiver(
    (url) => ({ NOTIFY_DISCORD_URL: `${url}${PATH}?thread_id=12` }),
    (request) => {
      path = request.path;
      return { text: '', id: '', answer: { status: 204 } };
    },
  );
  await openTransport(discord, receiver.settings)!.send(plainMessage(), NO_LIMIT);
  expect(path).toBe(`${PATH}?thread_id=12&wait=true`);
});
