import { expect, it } from 'vitest';
import type { Level } from '../../notifier/decide.ts';
import { type Message, makeMessage } from '../../notifier/message.ts';
import { tell } from '../../notifier/tell.ts';
import { type Listeners, startListeners } from '../helpers/told.ts';

const NO_LIMIT = new AbortController().signal;

function about(result: Message['result'], level?: Level, ended?: Level[]): Message {
  return makeMessage({
    result,
    ...(level && { level }),
    ...(ended && { ended }),
    name: 'wiki',
    host: 'web1.example.test',
    summary: `summary <${level ?? result}>`,
    facts: [],
    run: { id: '00000000-0000-4000-8000-000000000000', durationMs: 1 },
  });
}

it('tells each transport what its levels say', async () => {
  await using listeners = await startListeners('slack', 'teams', 'webhook');
  const settings = listeners.settings({
    NOTIFY_LEVELS: 'failed,missed',
    NOTIFY_TEAMS_LEVELS: 'ok, warnings',
    NOTIFY_WEBHOOK_LEVELS: 'recovered',
  });
  const heard: Record<string, string[]> = {};
  for (const message of [
    about('OK'),
    about('WARNINGS'),
    about('LOCKED'),
    about('FAILED'),
    about('MISSED'),
    about('OK', 'recovered', ['failed']),
  ]) {
    await tell(message, settings, NO_LIMIT);
    heard[`${message.result} ${message.level}`] = listeners
      .told()
      .map((line) => line.split(':')[0] as string);
  }
  expect(heard).toEqual({
    'OK ok': ['teams'],
    'WARNINGS warnings': ['teams'],
    'LOCKED warnings': ['teams'],
    'FAILED failed': ['slack'],
    'MISSED missed': ['slack'],
    'OK recovered': ['slack', 'webhook'],
  });
});

it('tells that trouble is over to those who heard of it, and to no others', async () => {
  await using listeners = await startListeners('slack', 'teams');
  const settings = listeners.settings({
    NOTIFY_SLACK_LEVELS: 'warnings',
    NOTIFY_TEAMS_LEVELS: 'failed,missed,recovered',
    NOTIFY_QUIET_OK: 'true',
  });
  await tell(about('OK', 'recovered', ['warnings']), settings, NO_LIMIT);
  expect(listeners.told()).toEqual(['slack: recovered']);
  await tell(about('OK', 'recovered', ['missed', 'failed']), settings, NO_LIMIT);
  expect(listeners.told()).toEqual(['teams: recovered']);
});

it('is quiet where all is well, but not to who watches over each run', async () => {
  await using listeners = await startListeners('slack', 'healthchecks');
  const settings = listeners.settings({ NOTIFY_QUIET_OK: 'true', NOTIFY_LEVELS: 'warnings,missed' });
  await tell(about('OK'), settings, NO_LIMIT);
  await tell(about('FAILED'), settings, NO_LIMIT, 'repetition');
  expect(listeners.told()).toEqual(['healthchecks: FAILED', 'healthchecks: OK']);
  for (const result of ['WARNINGS', 'MISSED'] as const) {
    const { run: _, ...aboutNoRun } = about(result);
    await tell(aboutNoRun, settings, NO_LIMIT);
  }
  expect(listeners.told()).toEqual(['healthchecks: MISSED', 'slack: MISSED', 'slack: WARNINGS']);
});

it('has no levels for what hears of each run', async () => {
  await using listeners = await startListeners('healthchecks', 'uptime-kuma');
  for (const name of ['NOTIFY_HEALTHCHECKS_LEVELS', 'NOTIFY_UPTIME_KUMA_LEVELS']) {
    expect(() => listeners.settings({ [name]: 'failed' })).toThrow(new RegExp(`unknown setting "${name}"`));
  }
});

it('refuses a level that is none, and a transport that is not configured', async () => {
  await using listeners = await startListeners('slack');
  const refused = (env: Record<string, string>) => expect(() => listeners.settings(env));
  refused({ NOTIFY_SLACK_LEVELS: 'failed,locked' }).toThrow(
    /NOTIFY_SLACK_LEVELS.*no level "locked".*another run's lock is a warning/,
  );
  refused({ NOTIFY_FALLBACK: 'teams' }).toThrow(/NOTIFY_FALLBACK.*teams is not configured/);
  refused({ NOTIFY_LEVELS: ',' }).toThrow(/NOTIFY_LEVELS.*it names no level/);
  refused({ NOTIFY_DIGEST_TRANSPORTS: 'teams' }).toThrow(/NOTIFY_DIGEST_TRANSPORTS.*teams is not configured/);
});

it('refuses a fallback that stands in for nobody: nothing would ever be told', async () => {
  await using listeners = await startListeners('slack', 'teams');
  const nothingLeft = /NOTIFY_FALLBACK": nothing is left that it stands in for/;
  expect(() => listeners.settings({ NOTIFY_FALLBACK: 'slack,teams' })).toThrow(nothingLeft);
  const both = { NOTIFY_TRANSPORTS: 'slack', NOTIFY_FALLBACK: 'slack' };
  expect(() => listeners.settings(both)).toThrow(nothingLeft);
});

it('sends digests to people, whatever their levels, and not to what shows the state of a run', async () => {
  await using listeners = await startListeners('slack', 'teams', 'healthchecks', 'pagerduty');
  await tell(about('FAILED'), listeners.settings({ NOTIFY_LEVELS: 'missed' }), NO_LIMIT, 'digest');
  expect(listeners.told()).toEqual(['slack: FAILED', 'teams: FAILED']);
  const chosen = listeners.settings({ NOTIFY_TRANSPORTS: 'slack', NOTIFY_DIGEST_TRANSPORTS: 'teams' });
  await tell(about('FAILED'), chosen, NO_LIMIT, 'digest');
  await tell(about('MISSED'), chosen, NO_LIMIT);
  expect(listeners.told()).toEqual(['slack: MISSED', 'teams: FAILED']);
});

const linesOf = ({ syslog }: Listeners): (string | undefined)[] =>
  syslog.map((line) => line.replace(/^<27>.* garner: /, ''));

it('F53 uses the fallback only where none of the others could deliver', async () => {
  await using listeners = await startListeners('slack', 'teams', 'webhook', 'healthchecks');
  const settings = listeners.settings({ NOTIFY_FALLBACK: 'webhook' });
  await tell(about('OK'), settings, NO_LIMIT);
  expect(listeners.told()).toEqual(['healthchecks: OK', 'slack: OK', 'teams: OK']);
  listeners.broken.add('slack');
  expect(await tell(about('WARNINGS'), settings, NO_LIMIT)).toBe(false);
  expect(listeners.told()).toEqual(['healthchecks: WARNINGS', 'teams: WARNINGS']);
  listeners.broken.add('teams');
  await tell(about('FAILED'), settings, NO_LIMIT);
  expect(listeners.told()).toEqual(['healthchecks: FAILED', 'webhook: FAILED']);
  expect(linesOf(listeners)).toEqual([]);
});

it('F53 uses the fallback where a service that watches over runs could not be told of trouble, and nobody else is', async () => {
  await using listeners = await startListeners('webhook', 'healthchecks');
  const settings = listeners.settings({
    NOTIFY_TRANSPORTS: 'healthchecks',
    NOTIFY_FALLBACK: 'webhook',
  });
  await tell(about('FAILED'), settings, NO_LIMIT);
  expect(listeners.told()).toEqual(['healthchecks: FAILED']);
  listeners.broken.add('healthchecks');
  await tell(about('FAILED'), settings, NO_LIMIT);
  await tell(about('OK'), settings, NO_LIMIT);
  expect(listeners.told()).toEqual(['webhook: FAILED']);
});

it('F53 says in the system log, in one line, what could not be delivered by anybody', async () => {
  await using listeners = await startListeners('slack', 'healthchecks');
  listeners.broken.add('slack');
  await tell(about('FAILED'), listeners.settings(), NO_LIMIT);
  expect(listeners.told()).toEqual(['healthchecks: FAILED']);
  await expect
    .poll(() => linesOf(listeners))
    .toEqual(['not delivered by slack: [garner] FAILED wiki on web1.example.test: summary <FAILED>']);
});
