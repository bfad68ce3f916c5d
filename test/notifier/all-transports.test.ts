import { execa } from 'execa';
import { expect, it } from 'vitest';
import { moduleNames } from '../../lib/modules.ts';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import { loadNotifySettings, NOTIFY_SETTINGS } from '../../notifier/settings.ts';
import { startHttpService } from '../helpers/http-service.ts';
import { makeHost } from '../helpers/notify.ts';

const TOKEN = 'aSecretTokenOfOurs0123456789';

it('sends a sample through every transport that is configured, and says which did not take it', async () => {
  await using service = await startHttpService(({ path, headers }) => {
    if (path.startsWith('/discord')) return { status: 404, body: `no webhook ${path}` };
    if (path.startsWith('/bot')) return { status: 200, body: '{"ok":true}' };
    if (path.startsWith('/_matrix')) return { status: 401, body: `unknown token ${headers.authorization}` };
    return { status: 200, body: 'ok' };
  });
  using host = makeHost({
    NOTIFY_SLACK_URL: `${service.url}/slack/${TOKEN}`,
    NOTIFY_DISCORD_URL: `${service.url}/discord/${TOKEN}`,
    NOTIFY_TEAMS_URL: 'http://127.0.0.1:1/teams',
    NOTIFY_TELEGRAM_URL: service.url,
    NOTIFY_TELEGRAM_TOKEN: `1:${TOKEN}`,
    NOTIFY_TELEGRAM_CHAT: '7',
    NOTIFY_MATRIX_URL: service.url,
    NOTIFY_MATRIX_TOKEN: TOKEN,
    NOTIFY_MATRIX_ROOM: '!r:example.test',
    NOTIFY_WEBHOOK_URL: `${service.url}/webhook`,
  });
  const { exitCode, stdout, stderr } = await host.notify(['test']);
  const at = `127.0.0.1:${service.port}`;
  expect(String(stdout).split('\n')).toEqual([
    `discord: NOT sent to a channel at ${at}: cannot send a message to "Discord at ${at}": it answered 404 Not Found: no webhook [redacted]?wait=true (is NOTIFY_DISCORD_URL right?)`,
    expect.stringMatching(/^email: sent to root@example\.test by /),
    `matrix: NOT sent to room !r:example.test at ${at}: cannot send a message to "Matrix at ${at}": it answered 401 Unauthorized: unknown token Bearer [redacted] (is NOTIFY_MATRIX_TOKEN right?)`,
    `slack: sent to a channel at ${at}`,
    'teams: NOT sent to a channel at 127.0.0.1:1: cannot send a message to "Teams at 127.0.0.1:1": connection refused',
    `telegram: sent to chat 7 at ${at}`,
    `webhook: sent to the webhook at ${at}`,
  ]);
  expect([exitCode, stderr, host.gotMail()]).toEqual([1, '', true]);
});

it('uses the transports that are named and no others', () => {
  using host = makeHost({ NOTIFY_SLACK_URL: 'https://hooks.example.test/x' });
  const load = (names: string) =>
    loadNotifySettings({
      known: { ...CORE_SETTINGS, ...NOTIFY_SETTINGS },
      env: { ...host.env, NOTIFY_TRANSPORTS: names },
    });
  expect([...load('slack').channels.keys()]).toEqual(['slack']);
  expect([...load('').channels.keys()]).toEqual(['email', 'slack']);
  expect(() => load('slack,teams')).toThrow(
    'cannot use setting "NOTIFY_TRANSPORTS": teams is not configured',
  );
});

it('holds every transport to the contract of all', async () => {
  const names = moduleNames('notifier/transports');
  const { stdout } = await execa('grep', ['-l', '^describeTransport(', '-r', 'test/notifier/transports']);
  const held = stdout.split('\n').map((file) => file.replace(/^.*\/(.*)\.test\.ts$/, '$1'));
  expect(held.sort()).toEqual(names);
});
