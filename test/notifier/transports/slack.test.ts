import { expect, it } from 'vitest';
import slack from '../../../notifier/transports/slack.ts';
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

const PATH = '/services/T024BE7LD/B024BE7LE/wkn3rYcV0WvbmUgK5Gzsecre';

/**
 * What the three have in common. Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, and
 * https://docs.slack.dev/messaging/formatting-message-text#escaping; Mattermost:
 * https://developers.mattermost.com/integrate/webhooks/incoming/; Rocket.Chat: at most 5000 characters (Message_MaxAllowedSize).
 */
function check({ method, path, headers, body }: ServiceRequest): Taken {
  if (method !== 'POST' || path !== PATH) throw 'no_service';
  if (headers['content-type'] !== 'application/json') throw 'invalid_payload';
  const { text, ...others } = JSON.parse(body);
  if (Object.keys(others).length > 0) throw `not of all three: ${Object.keys(others)}`;
  if (typeof text !== 'string' || text.trim() === '') throw 'no_text';
  if (text.length > 5000) throw 'msg_too_long';
  if (/[<>]|&(?!(amp|lt|gt);)/.test(text)) throw 'markup';
  const title = text.slice(0, text.indexOf('\n'));
  if (/@\w/.test(title)) throw 'a mention';
  if (title.includes('](')) throw 'a link';
  // all but the title is one block of code
  if (text.split('```').length !== 3 || !text.endsWith('\n```')) throw 'the block of code ends early';
  const shown = text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
  return {
    text: shown,
    id: /Message ([0-9a-f-]{36})/.exec(text)?.[1] ?? '',
    answer: { status: 200, body: 'ok' },
  };
}

const start = () => httpReceiver((url) => ({ NOTIFY_SLACK_URL: `${url}${PATH}` }), check);

describeTransport({
  name: 'slack',
  transport: slack,
  start,
  secrets: [PATH, 'wkn3rYcV0WvbmUgK5Gzsecre'],
  needs: {},
});

it('shows a message as it is, and signs of markup as signs', async () => {
  await using receiver = await start();
  const channel = openTransport(slack, receiver.settings)!;
  const message = plainMessage();
  await channel.send(message, NO_LIMIT);
  await channel.send(hostileMessage(), NO_LIMIT);
  expect(receiver.taken[0]).toBe(
    `✅ OK mediawiki on web1.example.test: 12.3 MB\n\`\`\`\nArchive: /var/lib/garner/work/mediawiki.tar\n\nMessage ${message.id}\n\`\`\``,
  );
  expect(receiver.taken[1]).toContain('<b>bold</b> <!channel>');
  expect(receiver.taken[1]).toContain('the last line 💾');
});

it('takes no page of some other server for success', async () => {
  await using receiver = await httpReceiver(
    (url) => ({ NOTIFY_SLACK_URL: `${url}${PATH}` }),
    () => ({ text: '', id: '', answer: { status: 200, body: '<title>Please log in</title>' } }),
  );
  const sending = openTransport(slack, receiver.settings)!.send(plainMessage(), NO_LIMIT);
  await expect(sending).rejects.toThrow(/Slack at 127.*it answered: <title>Please log in/);
});

it('takes the answer of Rocket.Chat', async () => {
  await using receiver = await httpReceiver(
    (url) => ({ NOTIFY_SLACK_URL: `${url}${PATH}` }),
    () => ({ text: '', id: '', answer: { status: 200, body: '{"success": true}' } }),
  );
  expect(await openTransport(slack, receiver.settings)!.send(plainMessage(), NO_LIMIT)).toEqual([]);
});
