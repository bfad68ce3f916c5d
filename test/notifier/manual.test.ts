// The crontab of the manual is run, each line as cron would.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { declareProgram } from '../../lib/command-line.ts';
import { addRunOptions } from '../../notifier/run-options.ts';
import { jitterOf } from '../../notifier/schedule.ts';
import { makeArchive, makeHost } from '../helpers/notify.ts';

const ROOT = join(import.meta.dirname, '../..');
const MANUAL = readFileSync(join(ROOT, 'docs/notifier.md'), 'utf8');
const CRONTAB = /^((?:[\d*/,-]+ +){5})root +(notify .*)$/gm;

const lines = [...MANUAL.matchAll(CRONTAB)].map(([, fields, command]) => ({
  fields: (fields as string).trim().replace(/ +/g, ' '),
  command: command as string,
}));

it('has a line for each option, and its schedules are those of their lines', () => {
  const options = addRunOptions(declareProgram('notify', '', '')).options.map(({ long }) => long);
  const own = options.filter((option) => option !== '--debug' && option !== '--version');
  const shown = lines.map(({ command }) => command).join('\n');
  expect(own.filter((option) => !shown.includes(`${option}`))).toEqual([]);
  for (const { fields, command } of lines) {
    const [, schedule = fields] = /--schedule "(.*?)"/.exec(command) ?? [];
    expect(schedule).toBe(fields);
  }
});

it('can be run by cron, line by line', async () => {
  using host = makeHost();
  const at = (name: string): string => join(host.root, name);
  const archive = await makeArchive(host.root);
  mkdirSync(at('bin'));
  // cron's PATH, with garner installed
  symlinkSync(join(ROOT, 'bin/notify'), at('bin/notify'));
  for (const { command } of lines) {
    const [, program] = / -- ([\w-]+)/.exec(command) ?? [];
    if (program !== undefined) host.script(`bin/${program}`, `#!/bin/sh\necho ${archive}\n`);
  }
  host.script('sendmail', `#!/bin/sh\ngrep -m 1 ^Subject >> ${at('subjects')}\n`);
  // a host that --jitter makes wait for a moment only
  const name = Array.from({ length: 100_000 }, (_, i) => `web${i}`).find(
    (candidate) => jitterOf(candidate, 'nextcloud', 15 * 60_000) < 500,
  );
  const settings = ['WORK_DIR', 'STATE_DIR', 'RUN_DIR'].map(
    (key) => `GARNER_${key}=${host.env[`GARNER_${key}`]}`,
  );
  settings.push(
    `GARNER_HOST=${name}`,
    'NOTIFY_EMAIL_TO=root@example.test',
    `NOTIFY_SENDMAIL=${at('sendmail')}`,
  );
  writeFileSync(at('etc/garner.env'), settings.join('\n'), { mode: 0o600 });
  const environment = {
    HOME: host.root,
    LOGNAME: 'root',
    SHELL: '/bin/sh',
    PATH: `${at('bin')}:/usr/bin:/bin`,
    GARNER_CONFIG_DIR: at('etc'),
  };
  for (const { command } of lines) {
    const words = Object.entries(environment).map(([key, value]) => `${key}=${value}`);
    const { exitCode, stderr } = await execa('env', ['-i', ...words, '/bin/sh', '-c', command], {
      reject: false,
    });
    expect([command, exitCode, stderr]).toEqual([command, 0, '']);
  }
  const subjects = readFileSync(at('subjects'), 'utf8').replaceAll(` on ${name}:`, '').trim().split('\n');
  expect(subjects).toEqual([
    'Subject: [garner] OK mediawiki 11 B',
    'Subject: [garner] OK confluence 11 B',
    'Subject: [garner] OK nextcloud 11 B',
    'Subject: [garner] OK directories 11 B',
    'Subject: [garner] OK postgres 11 B',
    expect.stringMatching(/^Subject: \[garner\] OK weekly dump done in /),
    // the header is folded there
    'Subject: [garner] OK daily digest 8 applications, 8 runs, all',
  ]);
  expect(host.queue()).toEqual([]);
}, 120_000);
