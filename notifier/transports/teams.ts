// Microsoft Teams, by a workflow that posts what a webhook receives: one Adaptive Card. Its texts are text runs, which know
// no Markdown, a line each.
import { titleOf, within } from '../chat.ts';
import { HTTP_SETTINGS, json, openHttp, secretUrl } from '../http.ts';
import type { Message } from '../message.ts';
import { shortTextOf } from '../short-text.ts';
import { defineTransport } from '../transport.ts';

/** By https://learn.microsoft.com/microsoftteams/limits-specifications-teams#chat: 28 KB, of which the flow takes some. */
const LARGEST_BYTES = 25_000;

const STYLES: Record<Message['result'], string> = {
  OK: 'good',
  WARNINGS: 'warning',
  LOCKED: 'warning',
  FAILED: 'attention',
  MISSED: 'attention',
};

/** Blanks in a row would be one. */
const keepBlanks = (line: string): string => line.replaceAll('\t', '    ').replaceAll('  ', '\u00a0 ');

const textRun = (text: string, look: Record<string, string>): object => ({
  type: 'RichTextBlock',
  spacing: 'None',
  inlines: [{ type: 'TextRun', text, ...look }],
});

function cardOf(message: Message, longest: number): object {
  const lines = shortTextOf(message, longest).split('\n');
  return {
    type: 'message',
    attachments: [
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        contentUrl: null,
        content: {
          $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
          type: 'AdaptiveCard',
          version: '1.4',
          msteams: { width: 'Full' },
          body: [
            {
              type: 'Container',
              style: STYLES[message.result],
              bleed: true,
              items: [textRun(titleOf(message), { weight: 'Bolder', size: 'Medium' })],
            },
            ...lines.map((line) =>
              textRun(keepBlanks(line) || '\u00a0', { fontType: 'Monospace', size: 'Small' }),
            ),
          ],
        },
      },
    ],
  };
}

export default defineTransport({
  settings: {
    NOTIFY_TEAMS_URL: {
      parse: secretUrl,
      secret: true,
      describe: 'the address of a workflow of Microsoft Teams that posts what a webhook receives',
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const url = values.NOTIFY_TEAMS_URL;
    if (url === undefined) return undefined;
    const service = openHttp('Teams', url, 'NOTIFY_TEAMS_URL', values);
    return {
      to: `a channel at ${service.host}`,
      async send(message, signal) {
        const body = within(
          LARGEST_BYTES,
          (longest) => json(cardOf(message, longest)),
          (made) => Buffer.byteLength(made.content),
        );
        await service.send({ body }, signal);
        return [];
      },
    };
  },
});
