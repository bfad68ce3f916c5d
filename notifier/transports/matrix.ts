// Matrix: a message to a room that is not encrypted. The message's id is the transaction's: a homeserver shows a
// repetition once.
import { titleOf, within } from '../chat.ts';
import { escapeHtml } from '../html.ts';
import { HTTP_SETTINGS, httpUrl, json, openHttp, token } from '../http.ts';
import { shortTextOf } from '../short-text.ts';
import { defineTransport, required } from '../transport.ts';

/** A whole event has at most 65,536 bytes; the server adds its own to ours. */
const LARGEST_CONTENT_BYTES = 50_000;

const room = (value: string): string => {
  if (!/^![^\s/?#]{1,254}$/.test(value)) throw "it is no room's id such as !abc:example.org";
  return value;
};

export default defineTransport({
  settings: {
    NOTIFY_MATRIX_URL: { parse: httpUrl, describe: 'the address of a homeserver of Matrix' },
    NOTIFY_MATRIX_ROOM: { parse: room, describe: "the room's id, such as `!abc:example.org`" },
    NOTIFY_MATRIX_TOKEN: {
      parse: token,
      secret: true,
      describe: 'the access token of an account in that room',
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const set = required(values, 'NOTIFY_MATRIX_URL', 'NOTIFY_MATRIX_ROOM', 'NOTIFY_MATRIX_TOKEN');
    if (set === undefined) return undefined;
    const { NOTIFY_MATRIX_URL: base, NOTIFY_MATRIX_ROOM: room, NOTIFY_MATRIX_TOKEN: accessToken } = set;
    const service = openHttp('Matrix', base, 'NOTIFY_MATRIX_TOKEN', values);
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/`;
    return {
      to: `room ${room} at ${service.host}`,
      async send(message, signal) {
        const title = titleOf(message);
        const body = within(
          LARGEST_CONTENT_BYTES,
          (longest) => {
            const text = shortTextOf(message, longest);
            return json({
              // a notice rings for nobody
              msgtype: message.result === 'OK' ? 'm.notice' : 'm.text',
              body: `${title}\n${text}`,
              format: 'org.matrix.custom.html',
              formatted_body: `<strong>${escapeHtml(title)}</strong><pre><code>${escapeHtml(text)}</code></pre>`,
              // said to be none: else `@room` in the text would be one
              'm.mentions': {},
            });
          },
          (made) => Buffer.byteLength(made.content),
        );
        const answer = await service.send(
          {
            method: 'PUT',
            url: new URL(`${base.href.replace(/\/$/, '')}${path}${message.id}`),
            headers: { Authorization: `Bearer ${accessToken}` },
            body,
          },
          signal,
        );
        if (!answer.includes('"event_id"')) throw service.refused(answer);
        return [];
      },
    };
  },
});
