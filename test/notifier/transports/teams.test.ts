import { expect, it } from 'vitest';
import teams from '../../../notifier/transports/teams.ts';
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

const SIGNATURE = 'kPq3_secretsecretsecretsecretsecretsecret12';
const PATH = `/workflows/0a1b2c3d4e5f/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=${SIGNATURE}`;

interface Run {
  type: string;
  text: string;
}
interface Block {
  type: string;
  items?: Block[];
  inlines?: Run[];
}

/**
 * https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using (what the workflow
 * takes, 28 KB), https://adaptivecards.io/explorer/RichTextBlock.html, https://adaptivecards.io/explorer/TextRun.html
 */
function check({ method, path, headers, body }: ServiceRequest): Taken {
  if (method !== 'POST' || path !== PATH) throw 'DirectApiAuthorizationRequired';
  if (headers['content-type'] !== 'application/json') throw 'InvalidRequestContent';
  if (Buffer.byteLength(body) > 28 * 1024) throw 'RequestBodyTooLarge';
  const { type, attachments, ...others } = JSON.parse(body);
  if (type !== 'message' || attachments.length !== 1 || Object.keys(others).length > 0) throw 'InvalidBody';
  const [{ contentType, contentUrl, content }] = attachments;
  if (contentType !== 'application/vnd.microsoft.card.adaptive' || contentUrl !== null) throw 'contentType';
  if (content.type !== 'AdaptiveCard' || content.version !== '1.4') throw 'AdaptiveCard';
  const [container, ...rest] = content.body as Block[];
  if (container?.type !== 'Container') throw 'Container';
  const lines = [...container.items!, ...rest].map((block) => {
    const [run] = block.inlines ?? [];
    // a TextBlock would know Markdown
    if (block.type !== 'RichTextBlock' || run?.type !== 'TextRun') throw `${block.type}: Markdown`;
    if (run.text === '' || run.text.includes('\n')) throw 'a line break is none in a TextRun';
    return run.text.replaceAll('\u00a0', ' ').trimEnd();
  });
  const text = lines.join('\n');
  return { text, id: /Message ([0-9a-f-]{36})$/.exec(text)?.[1] ?? '', answer: { status: 202 } };
}

const start = () => httpReceiver((url) => ({ NOTIFY_TEAMS_URL: `${url}${PATH}` }), check);

describeTransport({ name: 'teams', transport: teams, start, secrets: [SIGNATURE], needs: {} });

it('shows a message as it is, and signs of markup as signs', async () => {
  await using receiver = await start();
  const channel = openTransport(teams, receiver.settings)!;
  const message = plainMessage();
  await channel.send(message, NO_LIMIT);
  await channel.send(hostileMessage(), NO_LIMIT);
  expect(receiver.taken[0]).toBe(
    `✅ OK mediawiki on web1.example.test: 12.3 MB\nArchive: /var/lib/garner/work/mediawiki.tar\n\nMessage ${message.id}`,
  );
  expect(receiver.taken[1]).toContain('<b>bold</b> <!channel> <@U1> @everyone');
  expect(receiver.taken[1]).toContain('the last line 💾');
});
