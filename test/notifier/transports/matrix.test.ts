import { expect, it } from 'vitest';
import matrix from '../../../notifier/transports/matrix.ts';
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

const TOKEN = 'syt_YmFja3Vw_KwTxqsecretsecret_1a2b3c';
const ROOM = '!jEsUZKDJdhlrceRyVU:example.org';

/**
 * https://spec.matrix.org/v1.18/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid, #mroommessage-msgtypes,
 * #size-limits and #user-and-room-mentions
 */
function check({ method, path, headers, body }: ServiceRequest): Taken {
  const [, room, type, id] =
    /^\/_matrix\/client\/v3\/rooms\/([^/]+)\/send\/([^/]+)\/([^/?]+)$/.exec(path) ?? [];
  if (method !== 'PUT' || id === undefined) throw 'M_UNRECOGNIZED';
  if (headers.authorization !== `Bearer ${TOKEN}`) throw 'M_UNKNOWN_TOKEN';
  if (decodeURIComponent(room!) !== ROOM || type !== 'm.room.message') throw 'M_FORBIDDEN';
  // the whole event has at most 65,536 bytes; what the server adds has a few hundred
  if (Buffer.byteLength(body) > 65_536 - 2000) throw 'M_TOO_LARGE';
  const content = JSON.parse(body);
  if (!['m.text', 'm.notice'].includes(content.msgtype)) throw 'M_BAD_JSON';
  if (content.format !== 'org.matrix.custom.html') throw 'M_BAD_JSON';
  if (JSON.stringify(content['m.mentions']) !== '{}') throw 'somebody is mentioned';
  const html = content.formatted_body as string;
  const [, title, text] = /^<strong>([^<>]*)<\/strong><pre><code>([^<>]*)<\/code><\/pre>$/.exec(html) ?? [];
  if (title === undefined || text === undefined) throw `foreign markup: ${html.slice(0, 500)}`;
  const decoded = `${title}\n${text}`
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');
  if (decoded !== content.body) throw 'text and HTML say different things';
  return { text: content.body, id, answer: { status: 200, body: '{"event_id":"$abc"}' } };
}

const start = () =>
  httpReceiver(
    (url) => ({ NOTIFY_MATRIX_URL: `${url}/`, NOTIFY_MATRIX_TOKEN: TOKEN, NOTIFY_MATRIX_ROOM: ROOM }),
    check,
  );

describeTransport({
  name: 'matrix',
  transport: matrix,
  start,
  secrets: [TOKEN],
  needs: {
    NOTIFY_MATRIX_URL: 'NOTIFY_MATRIX_URL',
    NOTIFY_MATRIX_TOKEN: 'NOTIFY_MATRIX_TOKEN',
    NOTIFY_MATRIX_ROOM: 'NOTIFY_MATRIX_ROOM',
  },
});

it('shows a message as it is, and most of a long log', async () => {
  await using receiver = await start();
  const channel = openTransport(matrix, receiver.settings)!;
  const message = plainMessage();
  await channel.send(message, NO_LIMIT);
  await channel.send(hostileMessage(), NO_LIMIT);
  expect(receiver.taken[0]).toBe(
    `✅ OK mediawiki on web1.example.test: 12.3 MB\nArchive: /var/lib/garner/work/mediawiki.tar\n\nMessage ${message.id}`,
  );
  expect(receiver.taken[1]).toContain('the last line 💾');
  expect(receiver.taken[1]!.length).toBeGreaterThan(15_000);
});

it('names the room by its id only', () => {
  const settings = {
    NOTIFY_MATRIX_URL: 'https://matrix.example.org',
    NOTIFY_MATRIX_TOKEN: TOKEN,
    NOTIFY_MATRIX_ROOM: '#backups:example.org',
  };
  expect(() => openTransport(matrix, settings)).toThrow("it is no room's id such as !abc:example.org");
});
