// Where Atlassian's applications are told their home: by the script that starts them, or by a file that an older home may
// still stand in.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findHome } from '../../agents/toolkit/atlassian-home.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { write } from '../helpers/atlassian.ts';
import { errorOf } from '../helpers/error-of.ts';

let directory: string;
const home = (script: string | undefined, named?: string): string => {
  const file = join(directory, 'setenv.sh');
  if (script !== undefined) write(file, script);
  return findHome(hostView(), {
    ...{ named, setting: 'JIRA_HOME', script: file, variable: 'JIRA_HOME' },
    ...{ pointer: join(directory, 'jira.properties'), key: 'jira.home', fallback: '/fallback' },
  });
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-home-'));
  write(join(directory, 'jira.properties'), 'jira.home = /pointer\n');
});
afterEach(() => rmSync(directory, { recursive: true }));

it('is what the setting says, else the script, else the file, else where it usually is', () => {
  expect(home('JIRA_HOME=/script', '/setting')).toBe('/setting');
  expect(home('JIRA_HOME=/script')).toBe('/script');
  rmSync(join(directory, 'setenv.sh'));
  expect(home(undefined)).toBe('/pointer');
  rmSync(join(directory, 'jira.properties'));
  expect(home(undefined)).toBe('/fallback');
  symlinkSync(directory, join(directory, 'link'));
  mkdirSync(join(directory, 'home'));
  expect(home(undefined, join(directory, 'link/home'))).toBe(join(directory, 'home'));
});

it.each([
  ['#JIRA_HOME=/old\r\nJIRA_HOME="/my home"\r\nexport JIRA_HOME\r\n', '/my home'],
  ["  export JIRA_HOME='/a$b'; umask 027", '/a$b'],
  ['JIRA_HOME=/first\nJIRA_HOME=/last   # since May', '/last'],
  ['JIRA_HOME=/a\nJVM_SUPPORT_RECOMMENDED_ARGS="-Xss1m -Djira.home=/b -Dx=y"', '/b'],
  ['CATALINA_OPTS="-Djira.home=/c"', '/c'],
  [`CATALINA_OPTS=-Djira.home='/d e'`, '/d e'],
])('is read from the script: %j', (script, expected) => {
  expect(home(script)).toBe(expected);
});

it.each([
  '#JIRA_HOME=""\nJIRA_HOME=""\n',
  'OTHER_JIRA_HOME=/other\n',
  '# CATALINA_OPTS="-Djira.home=/c"\n',
  'CATALINA_OPTS="-DjiraXhome=/c"\n',
])('is not in a script that says nothing of it: %j', (script) => {
  expect(home(script)).toBe('/pointer');
});

it.each([
  'JIRA_HOME="$BASE/jira"',
  'JIRA_HOME=$(cat /etc/jira)',
  'JIRA_HOME=`cat x`',
  'JIRA_HOME=/a\\ b',
  'JIRA_HOME="/a',
  'JIRA_HOME=/a"b c"',
  'JIRA_HOME="/a"/b',
  'CATALINA_OPTS="-Djira.home=$BASE/jira"',
  'CATALINA_OPTS="-Djira.home=\\"/a\\""',
])('is asked for where the script computes it: %s', (script) => {
  const error = errorOf(() => home(script));
  expect(error.message).toContain('it is not written there literally');
  expect(error.hint).toBe('set JIRA_HOME');
  expect(home(script, '/setting')).toBe('/setting');
});
