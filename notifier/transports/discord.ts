// Discord's webhooks: one embed in the colour of the result. Nothing in a message can address anybody.
import { inCodeBlock, titleOf, within } from '../chat.ts';
import { COLOURS } from '../html.ts';
import { HTTP_SETTINGS, json, openHttp, secretUrl } from '../http.ts';
import { cutEnd, shortTextOf } from '../short-text.ts';
import { defineTransport } from '../transport.ts';

// by https://docs.discord.com/developers/resources/message#embed-object-embed-limits
const LONGEST_TITLE = 256;
const LONGEST_DESCRIPTION = 4096;

/** Titles know Markdown; a backslash takes its meaning from any sign. */
const escapeMarkdown = (text: string): string => text.replace(/[\\*_~|`#>[\]()<:@-]/g, '\\$&');

export default defineTransport({
  settings: {
    NOTIFY_DISCORD_URL: {
      parse: secretUrl,
      secret: true,
      describe: "the address of a channel's webhook of Discord",
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const url = values.NOTIFY_DISCORD_URL;
    if (url === undefined) return undefined;
    const service = openHttp('Discord', url, 'NOTIFY_DISCORD_URL', values);
    // else it answers before it knows whether the message is kept
    url.searchParams.set('wait', 'true');
    return {
      to: `a channel at ${service.host}`,
      async send(message, signal) {
        const embed = {
          title: cutEnd(escapeMarkdown(titleOf(message)), LONGEST_TITLE),
          description: within(
            LONGEST_DESCRIPTION,
            (longest) => inCodeBlock(shortTextOf(message, longest)),
            (made) => made.length,
          ),
          color: Number.parseInt(COLOURS[message.result].slice(1), 16),
          timestamp: message.time,
        };
        await service.send({ body: json({ embeds: [embed], allowed_mentions: { parse: [] } }) }, signal);
        return [];
      },
    };
  },
});
