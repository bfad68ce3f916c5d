import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { type Message, makeMessage } from '../../notifier/message.ts';
import { enqueue, isDue, listQueue, postponed, type Queued } from '../../notifier/queue.ts';
import { keepUntilTold, sendWaiting, tell } from '../../notifier/tell.ts';
import { sendQueued } from '../../notifier/waiting.ts';
import { startListeners } from '../helpers/told.ts';

const NO_LIMIT = new AbortController().signal;
const DAY = 86_400_000;
const DUE = { attempts: 1, nextAt: '2026-01-01T00:00:00.000Z' };

function about(summary: string, { name = 'wiki', ageMs = 0 } = {}): Message {
  const message = makeMessage({
    result: 'FAILED',
    name,
    host: 'web1.example.test',
    summary: `summary <${summary}>`,
    facts: [],
  });
  return { ...message, time: new Date(Date.now() - ageMs).toISOString() };
}

/** Puts messages into a queue, the first the oldest. */
function fill(directory: string, summaries: string[], waiting: Queued['waiting'], name?: string): void {
  summaries.forEach((summary, i) => {
    const ageMs = 1000 * (summaries.length - i);
    enqueue(directory, { message: about(summary, { ageMs, ...(name !== undefined && { name }) }), waiting });
  });
}

it('F53 is tried after a minute, then twice as long each time, up to six hours, never all hosts at once', () => {
  const minutes = (attempts: number, random: number) =>
    (Date.parse(postponed(attempts, 0, random).nextAt) - 0) / 60_000;
  expect([1, 2, 3, 9, 10, 1000].map((attempts) => minutes(attempts, 0.5))).toEqual([1, 2, 4, 256, 360, 360]);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2000 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (n, random) => {
        const usual = Math.min(2 ** (n - 1), 360);
        const waits = minutes(n, random);
        expect(waits).toBeGreaterThanOrEqual(usual * 0.74);
        expect(waits).toBeLessThanOrEqual(usual * 1.26);
      },
    ),
  );
});

it('is due at its time, and when a clock was years ahead', () => {
  const now = Date.parse('2026-01-01T12:00:00Z');
  const due = (nextAt: string) => isDue(nextAt, now);
  expect(['2026-01-01T11:59:59Z', '2026-01-01T12:00:01Z', '2026-01-01T18:00:00Z'].map(due)).toEqual([
    true,
    false,
    false,
  ]);
  expect(due('2036-01-01T00:00:00Z')).toBe(true);
});

it('F53 waits its time without a transport that is known to work, and not with one', async () => {
  await using listeners = await startListeners('slack');
  const settings = listeners.settings();
  const { queueDir } = settings;
  listeners.broken.add('slack');
  await tell(about('one'), settings, NO_LIMIT);
  const queued = (): Queued[] =>
    listQueue(queueDir).map((file) => JSON.parse(readFileSync(join(queueDir, file), 'utf8')));
  expect(queued()).toMatchObject([{ waiting: { slack: { attempts: 1 } } }]);
  listeners.broken.clear();
  await sendWaiting(settings, NO_LIMIT);
  expect(listeners.told()).toEqual([]);
  await tell(about('two'), settings, NO_LIMIT);
  expect(listeners.told()).toEqual(['slack: one', 'slack: two']);
  expect(listQueue(queueDir)).toEqual([]);
});

it('F53 is not sent by two runs at once, and by a later one where its own was killed', async () => {
  await using listeners = await startListeners('slack', 'healthchecks');
  const settings = listeners.settings();
  const one = about('one');
  await keepUntilTold(one, settings);
  await tell(about('two'), settings, NO_LIMIT);
  expect(listeners.told()).toEqual(['slack: two']);
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 360_000 });
  try {
    await sendWaiting(settings, NO_LIMIT);
  } finally {
    vi.useRealTimers();
  }
  expect(listeners.told()).toEqual(['slack: one']);
  expect(listQueue(settings.queueDir)).toEqual([]);
});

it('F53 counts attempts for each transport, and one that is broken holds up no other', async () => {
  await using listeners = await startListeners('slack', 'teams');
  const settings = listeners.settings();
  const { queueDir } = settings;
  const waiting = { slack: DUE, teams: { ...DUE, attempts: 7 } };
  fill(queueDir, ['one', 'two', 'three', 'four', 'five'], waiting);
  listeners.broken.add('slack');
  await sendWaiting(settings, NO_LIMIT);
  expect(listeners.told()).toHaveLength(5);
  const left = listQueue(queueDir).map((file) => JSON.parse(readFileSync(join(queueDir, file), 'utf8')));
  expect(left.map((queued) => queued.waiting)).toEqual([
    ...[1, 2, 3].map(() => ({ slack: { attempts: 2, nextAt: expect.stringMatching(/^2\d{3}-/) } })),
    { slack: DUE },
    { slack: DUE },
  ]);
  expect(left.slice(0, 3).every(({ waiting: { slack } }) => Date.parse(slack.nextAt) > Date.now())).toBe(
    true,
  );
});

it('F53 a message that a service refuses each time holds up no other', async () => {
  await using listeners = await startListeners('slack');
  const settings = listeners.settings();
  fill(settings.queueDir, ['bad1', 'bad2', 'bad3', 'good'], { slack: { ...DUE, attempts: 5 } });
  for (const bad of ['bad1', 'bad2', 'bad3']) listeners.broken.add(`slack: ${bad}`);
  await tell(about('new'), settings, NO_LIMIT);
  await tell(about('newer'), settings, NO_LIMIT);
  expect(listeners.told()).toEqual(['slack: good', 'slack: new', 'slack: newer']);
});

it('F53 a queue of 1000 for a service that hangs ends in time, and the others get theirs', async () => {
  await using listeners = await startListeners('slack', 'teams');
  const settings = listeners.settings();
  const { queueDir } = settings;
  fill(queueDir, ['first'], { slack: DUE, teams: DUE });
  const [file = ''] = listQueue(queueDir);
  const content = readFileSync(join(queueDir, file));
  for (let i = 1; i < 1000; i += 1) {
    writeFileSync(join(queueDir, file.replace(/^(\d{8}T)\d{6}/, `$1${`${100_000 + i}`}`)), content);
  }
  listeners.broken.add('hang slack').add('teams: other');
  fill(queueDir, ['last'], { teams: DUE });
  const before = performance.now();
  await sendQueued(settings, NO_LIMIT, undefined, 3000);
  expect(performance.now() - before).toBeLessThan(30_000);
  expect(listeners.told().length).toBeGreaterThan(0);
  expect(listeners.service.requests.filter(({ path }) => path === '/slack')).toHaveLength(1);
  expect(listQueue(queueDir).length).toBeGreaterThanOrEqual(999);
}, 60_000);

it('F53 drops what nobody took for a week, and says so in the system log', async () => {
  await using listeners = await startListeners('slack');
  const settings = listeners.settings();
  const old = about('old', { ageMs: 8 * DAY });
  enqueue(settings.queueDir, { message: old, waiting: { slack: DUE, 'no-longer': DUE } });
  enqueue(settings.queueDir, { message: about('young', { ageMs: 6 * DAY }), waiting: { 'no-longer': DUE } });
  await sendWaiting(settings, NO_LIMIT);
  expect(readdirSync(settings.queueDir)).toHaveLength(1);
  expect(listeners.told()).toEqual([]);
  await expect
    .poll(() => listeners.syslog.join())
    .toMatch(
      /garner: dropped, for 7 d 0 h not delivered by slack, no-longer: \[garner\] FAILED wiki on web1\.example\.test: summary <old>$/,
    );
});

it('shows a state as it is, not as it was when the service was away', async () => {
  await using listeners = await startListeners('pagerduty');
  const settings = listeners.settings();
  const { queueDir } = settings;
  fill(queueDir, ['wiki1', 'wiki2'], { pagerduty: DUE });
  fill(queueDir, ['jira1', 'jira2'], { pagerduty: DUE }, 'jira');
  await tell(about('wiki3'), settings, NO_LIMIT);
  expect(listeners.service.requests.map(({ body }) => /summary <(.*?)>/.exec(body)?.[1])).toEqual([
    'wiki3',
    'jira2',
  ]);
  expect(listQueue(queueDir)).toEqual([]);
});

it('goes where it should have gone, not where another application’s messages go', async () => {
  await using listeners = await startListeners('slack', 'teams');
  const toWiki = listeners.settings();
  const toJira = listeners.settings({ NOTIFY_SLACK_URL: `${listeners.service.url}/webhook` });
  listeners.broken.add('slack').add('teams');
  await tell(about('wiki'), toWiki, NO_LIMIT);
  listeners.broken.clear();
  await tell(about('jira', { name: 'jira' }), toJira, NO_LIMIT);
  // the chat of jira says other words than slack's: it is a failure, and not the wiki's
  expect(listeners.told()).toEqual(['teams: jira', 'teams: wiki', 'webhook: jira']);
  await tell(
    about('wiki again'),
    listeners.settings({ NOTIFY_SLACK_URL: `${listeners.service.url}/slack/mended` }),
    NO_LIMIT,
  );
  expect(listeners.told()).toEqual(['slack: wiki', 'slack: wiki again', 'teams: wiki again']);
});

it('makes no directory where nothing has ever failed', async () => {
  await using listeners = await startListeners('slack');
  const settings = listeners.settings();
  await tell(about('x'), settings, NO_LIMIT);
  expect(existsSync(settings.queueDir)).toBe(false);
});
