import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { main } from '../../notifier/notify.ts';
import { NOTIFY_SETTINGS } from '../../notifier/settings.ts';
import { startListeners } from '../helpers/told.ts';

const call = (line: string) => main(line.split(' '), { program: 'notify', known: NOTIFY_SETTINGS });

describe('notify refuses, before anything is sent or run,', () => {
  it.each([
    ['test --lock', '--lock', 'notify -- COMMAND'],
    ['test --schedule @daily', '--schedule', 'notify -- COMMAND'],
    ['overdue --quiet-ok', '--quiet-ok', 'notify -- COMMAND'],
    ['overdue --name x', '--name', 'notify -- COMMAND and notify test'],
    ['digest --json', '--json', 'notify overdue and notify history'],
    ['history --weekly', '--weekly', 'notify digest'],
    ['--grace 1h -- true', '--grace', 'notify overdue'],
    ['--plot -- true', '--plot', 'notify history'],
  ])('an option that would do nothing: %s', async (line, option, uses) => {
    await expect(call(line)).rejects.toMatchObject({
      message: `cannot use option "${option}": it is for ${uses}`,
      exitCode: 125,
    });
  });

  it.each([['agent-jira'], ['true -- true'], ['test -- true']])('words before --: %s', async (line) => {
    await expect(call(line)).rejects.toMatchObject({
      message: `cannot run "${line.split(' ')[0]}": all of a command stands after --`,
      hint: expect.stringContaining('notify [options] -- COMMAND'),
    });
  });
});

it('says in the system log that nothing was run: cron’s mail may be off', async () => {
  await using listeners = await startListeners();
  vi.stubEnv('NOTIFY_SYSLOG_SOCKET', join(listeners.root, 'log'));
  try {
    await expect(call('--lock --nonsense -- true')).rejects.toMatchObject({ exitCode: 125 });
    await expect(call('history --lock')).rejects.toMatchObject({ exitCode: 125 });
  } finally {
    vi.unstubAllEnvs();
  }
  await expect.poll(() => listeners.syslog).toHaveLength(1);
  expect(listeners.syslog[0]).toMatch(
    /^<27>.* garner: notify: cannot run "notify": unknown option '--nonsense'$/,
  );
});
