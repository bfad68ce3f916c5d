import { describe, expect, it } from 'vitest';
import { main } from '../../notifier/notify.ts';
import { NOTIFY_SETTINGS } from '../../notifier/settings.ts';

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
