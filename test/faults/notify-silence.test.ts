import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { makeHost } from '../helpers/notify.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const SCHEDULE = '15 2 * * *';

it('F59 a run that does not happen is noticed and sent, once; the next one is well again', async () => {
  using host = makeHost({ TZ: 'Europe/Berlin' });
  const mail = join(host.root, 'mail');
  /** Runs notify at a local time. @returns the exit code, and the subject of the mail, or '' */
  const notify = async (time: string, args: string[]): Promise<[number | undefined, string]> => {
    writeFileSync(mail, 'Subject: [garner] \n\n');
    const command = ['-f', `@2026-${time}`, process.execPath, MAIN, 'notify', ...args];
    const { exitCode } = await execa('faketime', command, { env: host.env, extendEnv: false, reject: false });
    return [exitCode, host.mail().headers.subject?.replace(/^\[garner\] ?/, '') as string];
  };
  const nightly = ['--schedule', SCHEDULE, '--name', 'dump', '--', 'true'];
  expect(await notify('03-28 02:15:00', nightly)).toEqual([0, expect.stringMatching(/^OK dump on /)]);
  // the clocks go an hour forward in the night that follows: 2:15 is made up for at 3:00
  expect(await notify('03-29 03:50:00', ['overdue'])).toEqual([0, '']);
  const missed = 'MISSED dump on web1.example.test: due 2026-03-29 01:00:00 UTC and not begun';
  expect(await notify('03-29 04:10:00', ['overdue'])).toEqual([1, missed]);
  expect(await notify('03-30 02:15:00', nightly)).toEqual([
    0,
    expect.stringMatching(/^OK dump .*, well again$/),
  ]);
  renameSync(join(host.root, 'work'), join(host.root, 'unmounted'));
  expect(await notify('03-31 04:10:00', ['overdue'])).toEqual([
    1,
    expect.stringMatching(/^MISSED dump on .*: cannot tell whether it has run: its history is gone/),
  ]);
  const history = join(host.root, 'unmounted/history/job.dump-web1.example.test.jsonl');
  const { stdout } = await execa('jq', ['-r', '.result + " " + .nextDueAt', history]);
  expect(stdout.split('\n')).toEqual([
    'ok 2026-03-29T01:00:00.000Z',
    'missed 2026-03-30T00:15:00.000Z',
    'ok 2026-03-31T00:15:00.000Z',
  ]);
}, 120_000);
