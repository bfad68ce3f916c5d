// What every transport promises, whatever it sends by: hostile content arrives in a form that the receiver's own rules
// allow, a repetition can be told by its id, and what fails is a `delivery` error that names who was to get the message
// and why, and no secret. httpReceiver makes a receiver of a service's checker.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GarnerError } from '../../lib/errors.ts';
import { redact } from '../../lib/redact.ts';
import { loadSettings } from '../../lib/settings.ts';
import { LogExcerpt } from '../../notifier/log-excerpt.ts';
import { type Message, makeMessage } from '../../notifier/message.ts';
import { NOTIFY_SETTINGS } from '../../notifier/settings.ts';
import type { Channel, Transport } from '../../notifier/transport.ts';
import { errorOf } from '../helpers/error-of.ts';
import { type ServiceAnswer, type ServiceRequest, startHttpService } from '../helpers/http-service.ts';

/** What gets messages in a test, and fails as it is told to. */
export interface Receiver extends AsyncDisposable {
  /** The settings by which messages go there. */
  settings: Record<string, string>;
  /** What it took, as its readers see it. */
  taken: string[];
  /** By what it, or a reader, tells that a message came twice; one for each that was taken. */
  ids: string[];
  /** What it would refuse by its own rules, and did. */
  problems: string[];
  /** Ways to fail, by name. */
  faults: Record<string, Fault>;
}

export interface Fault {
  /** What the error must say. */
  says: RegExp;
  /** From now on the receiver fails in this way; what hangs calls `giveUp` when it has been asked. */
  begin(giveUp: () => void): void | PromiseLike<void>;
}

export interface TransportCase {
  /** Its name in NOTIFY_TRANSPORTS. */
  name: string;
  transport: Transport;
  start(): Promise<Receiver>;
  /** Values in the settings, or parts of them, that nobody may see. */
  secrets: string[];
  /** Settings that can't be left out, each with the one that the error then names. */
  needs: Record<string, string>;
}

const root = mkdtempSync(join(tmpdir(), 'garner-transport-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** @returns the channel that a transport makes of these settings and no others */
export function openTransport(
  transport: Transport,
  settings: Record<string, string>,
  host = 'web1.example.test',
): Channel | undefined {
  const env = { GARNER_CONFIG_DIR: root, ...settings };
  return transport.open(loadSettings(transport.settings, { known: NOTIFY_SETTINGS, env }), host);
}

/** A message like that of a run in which everything has tried to be something else. */
export function hostileMessage(): Message {
  const markup =
    '<b>bold</b> <!channel> <@U1> @everyone @here *a* _b_ `c` ~d~ [e](http://evil.test) &amp; ```';
  const log = new LogExcerpt();
  log.write(Buffer.from(`${markup}\r\n\u001b[31mred\u001b[0m \u202e "quoted" \\back\\slash 💾🧨\n`));
  for (let line = 0; line < 2000; line += 1)
    log.write(Buffer.from(`line ${line} of a log\tüñî ${'x'.repeat(40)}\n`));
  log.write(Buffer.from(`${markup}\nthe last line 💾`));
  return makeMessage({
    result: 'FAILED',
    name: `wïki<b>*_\`@everyone${'💾'.repeat(40)}`,
    host: 'web1.example.test',
    summary: `exit code 7: ${markup}\r\nBcc: evil@example.test`,
    facts: [
      { label: 'Command', value: `sh -c '${markup}'` },
      { label: 'Cause', value: `one ${markup}\n${'a long cause '.repeat(30)}` },
    ],
    log: log.text(),
  });
}

/** A message as most are. */
export function plainMessage(): Message {
  return makeMessage({
    result: 'OK',
    name: 'mediawiki',
    host: 'web1.example.test',
    summary: '12.3 MB',
    facts: [{ label: 'Archive', value: '/var/lib/garner/work/mediawiki.tar' }],
  });
}

export const NO_LIMIT = new AbortController().signal;

export function describeTransport({ name, transport, start, secrets, needs }: TransportCase): void {
  describe(`the ${name} transport`, () => {
    let receiver: Receiver;
    let channel: Channel;
    beforeEach(async () => {
      receiver = await start();
      channel = openTransport(transport, receiver.settings)!;
    });
    afterEach(() => receiver[Symbol.asyncDispose]());

    it('is off where nothing of it is set', () => {
      expect(openTransport(transport, {})).toBeUndefined();
    });

    it.each(Object.entries(needs))('refuses to do without %s, naming %s', (left, named) => {
      const { [left]: _, ...others } = receiver.settings;
      const error = errorOf(() => openTransport(transport, others));
      expect(error).toMatchObject({ code: 'configuration', message: expect.stringContaining(named) });
    });

    it('says where messages go, and no secret', () => {
      expect(channel.to).not.toBe('');
      for (const secret of secrets) expect(channel.to).not.toContain(secret);
    });

    it('F57 brings hostile content in a form that the receiver takes', async () => {
      expect(await channel.send(hostileMessage(), NO_LIMIT)).toEqual([]);
      expect(receiver.problems).toEqual([]);
      expect(receiver.taken).toHaveLength(1);
      expect(receiver.taken[0]).toContain('FAILED');
      expect(receiver.taken[0]).toContain('exit code 7');
      expect(receiver.taken[0]).not.toMatch(
        /[\u0000-\u0008\u000b-\u001f\u007f\u202e]|\ud83d(?![\udc00-\udfff])/,
      );
    });

    it('brings the same message twice in a way that can be told', async () => {
      const message = plainMessage();
      await channel.send(message, NO_LIMIT);
      await channel.send(message, NO_LIMIT);
      await channel.send(plainMessage(), NO_LIMIT);
      expect(receiver.problems).toEqual([]);
      const [first, second, third] = receiver.ids;
      expect(first).toContain(message.id);
      expect([second, third === first]).toEqual([first, false]);
    });

    it('F53 tells by whom and why a message was not taken, and no secret', async () => {
      expect(Object.keys(receiver.faults)).not.toEqual([]);
      for (const [fault, { says, begin }] of Object.entries(receiver.faults)) {
        const limit = new AbortController();
        await begin(() => limit.abort(new GarnerError('timeout', 'not done after 60 s')));
        const error = await channel.send(hostileMessage(), limit.signal).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        expect(error, fault).toMatchObject({ code: 'delivery', message: expect.stringMatching(says) });
        // what shows an error redacts it
        const shown = redact((error as GarnerError).message);
        expect(shown.length, fault).toBeLessThan(800);
        for (const secret of secrets) expect(shown, fault).not.toContain(secret);
      }
    });
  });
}

/** What a service makes of a request that its documentation allows. */
export interface Taken {
  /** As its readers see it. */
  text: string;
  id: string;
  answer: ServiceAnswer;
}

/**
 * Makes a receiver of an HTTP service, with the faults that all of them have.
 * @param settings the settings that lead to the service at this address
 * @param check what the service does by its API documentation; throws a text where it would refuse
 */
export async function httpReceiver(
  settings: (url: string) => Record<string, string>,
  check: (request: ServiceRequest) => Taken,
): Promise<Receiver> {
  const service = await startHttpService((request) => {
    try {
      const { text, id, answer } = check(request);
      receiver.taken.push(text);
      receiver.ids.push(id);
      return answer;
    } catch (problem) {
      receiver.problems.push(String(problem));
      return { status: 400, body: String(problem) };
    }
  });
  const answering = (says: RegExp, answer: ServiceAnswer): Fault => ({
    says,
    begin: () => {
      service.respond = () => answer;
    },
  });
  const receiver: Receiver = {
    settings: settings(service.url),
    taken: [],
    ids: [],
    problems: [],
    faults: {
      401: answering(/ at 127\.0\.0\.1:\d+": it answered 401 Unauthorized: who are you\?/, {
        status: 401,
        body: 'who are you?',
      }),
      404: answering(/404 Not Found.* \(is NOTIFY_\w+ right\?\)/, { status: 404, body: '<html>\u001b[2J' }),
      429: answering(/429 Too Many Requests, to be tried again after 30 s/, {
        status: 429,
        headers: { 'Retry-After': '30' },
      }),
      'an error that repeats the request': {
        says: /500 Internal Server Error: cannot \w+/,
        begin: () => {
          service.respond = ({ method, path, headers }) => ({
            status: 500,
            body: `cannot ${method} ${path}\r\n\u001b[31m${JSON.stringify(headers)}`,
          });
        },
      },
      'a redirection': {
        says: /302 Found and sends to evil\.test, which is not followed/,
        begin: () => {
          service.respond = ({ path }) => ({
            status: 302,
            headers: { Location: `https://evil.test${path}` },
          });
        },
      },
      'an answer without end': {
        says: /more than 64 KiB/,
        begin: () => {
          service.respond = (_, response) => {
            const more = (): void => {
              while (!response.destroyed && response.write(Buffer.alloc(1 << 16, 'x')));
            };
            response.writeHead(200).on('drain', more);
            more();
            return 'nothing';
          };
        },
      },
      'an answer cut off': {
        says: / at 127\.0\.0\.1/,
        begin: () => {
          service.respond = (_, response) => {
            response.writeHead(200, { 'Content-Length': '100' }).write('x');
            response.socket?.destroySoon();
            return 'nothing';
          };
        },
      },
      silence: {
        says: /not done after 60 s/,
        begin: (giveUp) => {
          service.respond = () => {
            giveUp();
            return 'nothing';
          };
        },
      },
      'nobody there': { says: /connection refused/, begin: () => service[Symbol.asyncDispose]() },
    },
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
    },
  };
  return receiver;
}
