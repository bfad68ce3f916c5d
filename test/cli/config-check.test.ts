import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-config-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const put = (name: string, content: string, mode = 0o600): void =>
  writeFileSync(join(directory, name), content, { mode });

async function check(): Promise<{ exitCode: number | undefined; lines: string[] }> {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [MAIN, 'garner', 'config', 'check'], {
    env: { GARNER_CONFIG_DIR: directory },
    reject: false,
  });
  expect(stderr).toBe('');
  return { exitCode, lines: stdout.split('\n').map((line) => line.replaceAll(`${directory}/`, '')) };
}

test('names each file that is good', async () => {
  put('garner.env', 'GARNER_HOST=web1\n');
  put('agent-sqlite.env', 'SQLITE_FILES=/x.db\n');
  put('agent-sqlite.blue.env', 'SQLITE_FILES=/y.db\n');
  const { exitCode, lines } = await check();
  expect(exitCode).toBe(0);
  expect(lines.sort()).toEqual(['agent-sqlite.blue.env: good', 'agent-sqlite.env: good', 'garner.env: good']);
});

test('takes an archiver.yaml without an archive store where it only pushes', async () => {
  put('archiver.yaml', 'push: {disk: {to: "file:///mnt/disk", from: /var/lib/garner/work}}\n');
  expect(await check()).toEqual({ exitCode: 0, lines: ['archiver.yaml: good'] });
});

test('says where there is no file at all', async () => {
  expect(await check()).toEqual({ exitCode: 0, lines: [`no configuration file in ${directory}`] });
});

test('says what is wrong with every file, each once', async () => {
  put('garner.env', 'GARNER_TIMEOUT=soon\n');
  put('agent-sqlite.env', 'SQLITE_FILES=/x.db\n');
  put('agent-mediawiki.env', 'GARNER_HOTS=x\n');
  put('agent-mariadb.env', 'GARNER_DATABASE_URL=mysql://u:pw12345@h/d\n', 0o644);
  put('agent-mediawki.env', '');
  put('archiver.yaml', 'archive: /x\n');
  put('buckets.yaml', 'sets: {}\n');
  put('operations.yaml', 'operations:\n  a: {}\n');
  put('agent-sqlite.hooks.yaml', 'before: [date]\n');
  put('agent-sqlite.blue.hooks.yaml', 'befor: [date]\n');
  put('agent-sqlite.red.hooks.yaml', 'before: [date]\n');
  chmodSync(join(directory, 'agent-sqlite.hooks.yaml'), 0o660);
  const { exitCode, lines } = await check();
  expect(exitCode).toBe(2);
  const about = (text: string): string[] => lines.filter((line) => line.includes(text));
  expect(about('"soon"')).toHaveLength(1);
  expect(about('unknown setting "GARNER_HOTS"')).toHaveLength(1);
  expect(about('it holds a secret and others can read it')).toHaveLength(1);
  expect(about('there is no agent-mediawki')).toHaveLength(1);
  expect(about('archiver.yaml": hosts')).toHaveLength(1);
  expect(about('buckets.yaml": line 1: sets: there is none')).toHaveLength(1);
  expect(about('operations.yaml": line 2: operations.a.command: it is missing')).toHaveLength(1);
  expect(about('agent-sqlite.hooks.yaml": it can be changed by group')).toHaveLength(1);
  expect(about('agent-sqlite.blue.hooks.yaml": line 1: befor: unknown key')).toHaveLength(1);
  expect(about('agent-sqlite.red.hooks.yaml: good')).toHaveLength(1);
  expect(about('agent-sqlite.env: good')).toHaveLength(1);
  expect(lines.join('\n')).not.toContain('pw12345');
});
