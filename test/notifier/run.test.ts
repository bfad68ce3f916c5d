import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { makeArchive } from '../helpers/make-archive.ts';
import { makeHost } from '../helpers/notify.ts';

it('keeps each run in the history, tells trouble once, and when it is over', async () => {
  using host = makeHost();
  host.script('sendmail', `#!/bin/sh\ngrep '^Subject' | cut -d' ' -f2- >> ${host.root}/subjects\n`);
  const work = join(host.root, 'elsewhere');
  const agent = host.script(
    'agent-fake',
    `#!/bin/sh\necho 'disk is full' >&2; exit $(cat ${host.root}/code)\n`,
  );
  for (const code of ['1', '1', '9']) {
    writeFileSync(join(host.root, 'code'), code);
    await host.notify(['--', agent, '--work-dir', work]);
  }
  await host.notify(['--name', 'nightly dump', '--', 'true']);
  expect(readFileSync(join(host.root, 'subjects'), 'utf8').trim().split('\n')).toEqual([
    '[garner] FAILED fake on web1.example.test: disk is full',
    '[garner] FAILED fake on web1.example.test: disk is full',
    expect.stringMatching(/^\[garner\] OK nightly dump on web1\.example\.test: done in /),
  ]);
  const lines = readFileSync(join(work, 'history/fake-web1.example.test.jsonl'), 'utf8').trim().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { name: 'fake', result: 'failed', exitCode: 1, summary: 'disk is full', told: true },
    { exitCode: 1, told: false },
    { exitCode: 9, told: true },
  ]);
  expect(readdirSync(join(host.root, 'work/history'))).toEqual([
    expect.stringMatching(/^job\.nightly_dump_[0-9a-f]{8}-web1\.example\.test\.jsonl$/),
  ]);
});

it('reads how to tell from the application’s own file, and tells by garner.env where that is broken', async () => {
  using host = makeHost({ NOTIFY_EMAIL_TO: '' });
  const agent = host.script('agent-mediawiki', '#!/bin/sh\nexit 1\n');
  writeFileSync(join(host.root, 'etc/garner.env'), 'NOTIFY_EMAIL_TO=all@example.test\n');
  const own = join(host.root, 'etc/agent-mediawiki.env');
  writeFileSync(own, 'NOTIFY_EMAIL_TO=wiki@example.test\n');
  await host.notify(['--', agent]);
  expect(host.mail().headers.to).toBe('wiki@example.test');
  writeFileSync(own, 'NOTIFY_EMIAL_TO=wiki@example.test\n');
  const { stderr, exitCode } = await host.notify(['--', 'sh', '-c', `exec ${agent}`]);
  expect([exitCode, stderr]).toEqual([1, '']);
  const broken = await host.notify(['--name', 'wiki', '--', agent]);
  expect(broken.stderr).toContain('told by garner.env alone');
  expect(host.mail().headers.to).toBe('all@example.test');
});

it('makes a warning of a good run that is unlike those before it, once, and leaves the exit code alone', async () => {
  using host = makeHost();
  const work = join(host.root, 'work');
  const runs: Record<string, number>[] = [{ page: 100_000 }, { page: 2000 }];
  const told: string[] = [];
  for (const [night, tables] of runs.entries()) {
    const time = new Date(Date.UTC(2026, 0, 1 + night));
    const { path } = await makeArchive(work, { host: 'web1.example.test', time, tables });
    const { exitCode } = await host.notify([
      '--',
      host.script('agent-mediawiki', `#!/bin/sh\necho ${path}\n`),
    ]);
    expect(exitCode).toBe(0);
    told.push(host.mail().headers.subject ?? '');
  }
  expect(told).toEqual([
    expect.stringMatching(/^\[garner\] OK mediawiki on web1\.example\.test: [\d.]+ kB$/),
    '[garner] WARNINGS mediawiki on web1.example.test: 2,000 rows in wiki, usually 100,000: table page lost 98,000 of 100,000 rows',
  ]);
  const lines = readFileSync(join(work, 'history/mediawiki-web1.example.test.jsonl'), 'utf8')
    .trim()
    .split('\n');
  const variations = [{ of: 'rows', member: 'wiki', beyond: 'collapse', value: 2000, usual: 100_000 }];
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { result: 'ok' },
    { result: 'warnings', exitCode: 0, variations },
  ]);
  expect(JSON.parse(lines[0] as string)).not.toHaveProperty('variations');
  const { stdout } = await host.notify(['history', 'mediawiki', '--last', '1']);
  expect(`${stdout}`.split('\n')[2]).toMatch(/ warnings .* 2,000 .* table page lost 98,000 of 100,000 rows$/);
});

it('F53 what the history says was told is sent, though the run is killed before it has', async () => {
  using host = makeHost();
  host.script('sendmail', `#!/bin/sh\necho $PPID > ${host.root}/notify; exec sleep 5\n`);
  const run = host.notify(['--name', 'dump', '--', 'sh', '-c', 'echo broken >&2; exit 1']);
  const pid = join(host.root, 'notify');
  while (!existsSync(pid) || readFileSync(pid, 'utf8') === '') await sleep(20);
  run.kill('SIGKILL');
  expect((await run).signal).toBe('SIGKILL');
  const line = readFileSync(join(host.root, 'work/history/job.dump-web1.example.test.jsonl'), 'utf8');
  expect(JSON.parse(line)).toMatchObject({ result: 'failed', told: true });
  const [file = ''] = host.queue();
  const queued = JSON.parse(readFileSync(join(host.root, 'state/queue', file), 'utf8'));
  expect(queued).toMatchObject({ message: { summary: 'broken' }, waiting: { email: { attempts: 0 } } });
});
