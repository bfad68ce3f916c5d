// A host whose transports all lead to one service of the test, which knows what each of them was told. In the test's own
// process.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import { loadNotifySettings, NOTIFY_SETTINGS, type NotifySettings } from '../../notifier/settings.ts';
import { type HttpServiceUnderTest, type ServiceAnswer, startHttpService } from './http-service.ts';

const ANSWERS: Record<string, ServiceAnswer> = {
  webhook: { status: 200 },
  slack: { status: 200, body: 'ok' },
  teams: { status: 202 },
  gotify: { status: 200, body: '{"id": 1}' },
  healthchecks: { status: 200, body: 'OK' },
  pagerduty: { status: 202, body: '{"status": "success"}' },
};

export interface Listeners extends AsyncDisposable {
  root: string;
  service: HttpServiceUnderTest;
  /** Names of transports that fail; with `hang` before the name it never answers. */
  broken: Set<string>;
  /** What each transport took, since it was asked last: `slack: summary`, sorted. */
  told(): string[];
  /** Lines of the system log. */
  syslog: string[];
  /** The settings by which the transports lead there. */
  addresses: Record<string, string>;
  /** @param env more settings, or others */
  settings(env?: Record<string, string>): NotifySettings;
}

/** @returns the settings by which these transports lead to a service */
function addresses(url: string, transports: readonly string[]): Record<string, string> {
  const all: Record<string, Record<string, string>> = {
    webhook: { NOTIFY_WEBHOOK_URL: `${url}/webhook` },
    slack: { NOTIFY_SLACK_URL: `${url}/slack` },
    teams: { NOTIFY_TEAMS_URL: `${url}/teams` },
    gotify: { NOTIFY_GOTIFY_URL: `${url}/gotify`, NOTIFY_GOTIFY_TOKEN: 'tokenOfGotify' },
    healthchecks: { NOTIFY_HEALTHCHECKS_URL: `${url}/healthchecks` },
    pagerduty: { NOTIFY_PAGERDUTY_URL: `${url}/pagerduty`, NOTIFY_PAGERDUTY_KEY: 'keyOfPagerDuty' },
  };
  return Object.assign({}, ...transports.map((name) => all[name]));
}

/** @param transports those that are configured */
export async function startListeners(...transports: string[]): Promise<Listeners> {
  const root = mkdtempSync(join(tmpdir(), 'garner-told-'));
  mkdirSync(join(root, 'etc'));
  const broken = new Set<string>();
  let taken: string[] = [];
  const service = await startHttpService(({ path, body }) => {
    const name = path.split(/[/?]/)[1] as string;
    if (broken.has(`hang ${name}`)) return 'nothing';
    const summary = /summary <(.*?)>/.exec(body.replaceAll('&lt;', '<').replaceAll('&gt;', '>'))?.[1];
    if (broken.has(name) || broken.has(`${name}: ${summary}`)) return { status: 500 };
    taken.push(`${name}: ${summary}`);
    return ANSWERS[name] as ServiceAnswer;
  });
  const syslog: string[] = [];
  const daemon = createServer((connection) =>
    connection.on('data', (chunk) => {
      syslog.push(
        ...chunk
          .toString()
          .split(/[\n\0]/)
          .filter(Boolean),
      );
    }),
  );
  await new Promise<void>((resolve) => daemon.listen(join(root, 'log'), resolve));
  return {
    root,
    service,
    broken,
    syslog,
    addresses: addresses(service.url, transports),
    told() {
      const all = taken.sort();
      taken = [];
      return all;
    },
    settings: (env = {}) =>
      loadNotifySettings({
        known: { ...CORE_SETTINGS, ...NOTIFY_SETTINGS },
        env: {
          GARNER_CONFIG_DIR: join(root, 'etc'),
          GARNER_STATE_DIR: join(root, 'state'),
          GARNER_RUN_DIR: join(root, 'run'),
          GARNER_WORK_DIR: join(root, 'work'),
          GARNER_HOST: 'web1.example.test',
          NOTIFY_SYSLOG_SOCKET: join(root, 'log'),
          ...addresses(service.url, transports),
          ...env,
        },
      }),
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await new Promise((resolve) => daemon.close(resolve));
      rmSync(root, { recursive: true, force: true });
    },
  };
}
