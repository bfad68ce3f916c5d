// Slack's incoming webhooks, which Mattermost and Rocket.Chat take too: one text with a block of code, all that the three
// have in common. Nothing in a message can address anybody.
import { inCodeBlock, titleOf, within } from '../chat.ts';
import { HTTP_SETTINGS, json, openHttp, secretUrl } from '../http.ts';
import { shortTextOf } from '../short-text.ts';
import { defineTransport } from '../transport.ts';

/** Rocket.Chat refuses more than 5000 characters as it is set up at first; the other two take more. */
const LONGEST_TEXT = 4900;

/** By https://docs.slack.dev/messaging/formatting-message-text#escaping: these three and no others. */
const escapeText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Mattermost and Rocket.Chat ring for a plain `@all`, and know links and pictures of Markdown. */
const muteMarkdown = (text: string): string => text.replaceAll('@', '@\u200b').replaceAll('](', ']\u200b(');

export default defineTransport({
  settings: {
    NOTIFY_SLACK_URL: {
      parse: secretUrl,
      secret: true,
      describe: 'the address of an incoming webhook of Slack, Mattermost or Rocket.Chat',
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const url = values.NOTIFY_SLACK_URL;
    if (url === undefined) return undefined;
    const service = openHttp('Slack', url, 'NOTIFY_SLACK_URL', values);
    return {
      to: `a channel at ${service.host}`,
      async send(message, signal) {
        const text = within(
          LONGEST_TEXT,
          (longest) =>
            `${escapeText(muteMarkdown(titleOf(message)))}\n${escapeText(inCodeBlock(shortTextOf(message, longest)))}`,
          (made) => made.length,
        );
        const answer = await service.send({ body: json({ text }) }, signal);
        // `ok`, and of Rocket.Chat `{"success":true}`
        if (!/^ok$|"success":\s*true/.test(answer.trim())) throw service.refused(answer);
        return [];
      },
    };
  },
});
