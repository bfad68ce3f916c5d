import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GarnerError } from '../../lib/errors.ts';
import { redact } from '../../lib/redact.ts';
import {
  boolean,
  CORE_SETTINGS,
  durationMs,
  list,
  loadSettings,
  paths,
  type SettingSources,
  text,
} from '../../lib/settings.ts';

const TABLE = {
  ...CORE_SETTINGS,
  DIRECTORIES: { parse: paths, describe: 'trees' },
  NOTIFY_QUIET_OK: { parse: boolean, default: 'false', describe: 'quiet' },
  NOTIFY_SMTP_PASSWORD: { parse: text, secret: true, describe: 'password' },
  MYSQLDUMP_PARAMS: { parse: text, describe: 'options' },
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-settings-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function put(name: string, content: string, mode = 0o600): string {
  const file = join(directory, name);
  writeFileSync(file, content, { mode });
  chmodSync(file, mode);
  return file;
}

function load(sources: Partial<SettingSources> = {}) {
  const env = { GARNER_CONFIG_DIR: directory, ...sources.env };
  return loadSettings(TABLE, { known: TABLE, fileOf: 'agent-directories', ...sources, env });
}

function refusal(sources: Partial<SettingSources> = {}): GarnerError {
  try {
    load(sources);
  } catch (error) {
    return error as GarnerError;
  }
  throw new Error('it was accepted');
}

describe('precedence', () => {
  test('an option beats the environment, that the file of the agent, that garner.env, that the default', () => {
    const options = { GARNER_HOST: 'by-option' };
    const env = { GARNER_HOST: 'by-env' };
    expect(load().GARNER_TIMEOUT).toBe(6 * 3_600_000);
    put('garner.env', 'GARNER_HOST=by-garner-env\nGARNER_TIMEOUT=1h\n');
    expect(load()).toMatchObject({ GARNER_HOST: 'by-garner-env', GARNER_TIMEOUT: 3_600_000 });
    put('agent-directories.env', 'GARNER_HOST=by-agent-file\n');
    expect(load()).toMatchObject({ GARNER_HOST: 'by-agent-file', GARNER_TIMEOUT: 3_600_000 });
    expect(load({ env }).GARNER_HOST).toBe('by-env');
    expect(load({ env, options }).GARNER_HOST).toBe('by-option');
  });

  test('the older name BACKUP_HOME_DIR is read from everywhere, and only where the newer one is not set', () => {
    put('garner.env', 'BACKUP_HOME_DIR=/old/file\n');
    expect(load().GARNER_WORK_DIR).toBe('/old/file');
    expect(load({ env: { BACKUP_HOME_DIR: '/old/env' } }).GARNER_WORK_DIR).toBe('/old/env');
    expect(load({ env: { BACKUP_HOME_DIR: '/old/env', GARNER_WORK_DIR: '/new' } }).GARNER_WORK_DIR).toBe(
      '/new',
    );
  });

  test('the host is called as `hostname -f` calls it', () => {
    expect(load().GARNER_HOST).toBe(
      execFileSync('hostname', ['-f'], { encoding: 'utf8' }).trim().toLowerCase(),
    );
  });

  test('--config is read in place of the file of the agent, and has to be there', () => {
    put('agent-directories.env', 'GARNER_HOST=by-agent-file\n');
    put('garner.env', 'GARNER_TIMEOUT=1h\n');
    const configFile = put('other.env', 'GARNER_GROUP=x\nGARNER_HOST=by-config\n');
    expect(load({ configFile })).toMatchObject({ GARNER_HOST: 'by-config', GARNER_TIMEOUT: 3_600_000 });
    const missing = join(directory, 'missing.env');
    expect(refusal({ configFile: missing }).message).toBe(
      `cannot read "${missing}": no such file or directory`,
    );
  });

  test('an instance has a file of its own', () => {
    put('agent-directories.env', 'GARNER_HOST=plain\n');
    put('agent-directories.blue.env', 'GARNER_HOST=blue\n');
    expect(load({ fileOf: 'agent-directories.blue' }).GARNER_HOST).toBe('blue');
  });

  test('an empty value counts as none, but an empty option is an error', () => {
    put('garner.env', 'GARNER_HOST=by-file\nGARNER_GROUP=\n');
    expect(load({ env: { GARNER_HOST: '' } })).toMatchObject({ GARNER_HOST: 'by-file' });
    expect(load().GARNER_GROUP).toBeUndefined();
    expect(refusal({ options: { GARNER_WORK_DIR: '' } })).toMatchObject({
      exitCode: 2,
      message: 'cannot use setting "GARNER_WORK_DIR": its value on the command line is empty',
    });
  });
});

describe('names', () => {
  test.each(['GARNER_WROK_DIR', 'constructor', '__proto__', 'GARNER_CONFIG_DIR', 'GARNER_HOST_FILE', 'PATH'])(
    'F61 the unknown key %s in a file is refused with file and key',
    (name) => {
      const file = put('agent-directories.env', `${name}=x\n`);
      const { code, exitCode, message } = refusal();
      expect({ code, exitCode, message }).toEqual({
        code: 'configuration',
        exitCode: 2,
        message: `cannot use "${file}": unknown setting "${name}"`,
      });
    },
  );

  test('names that look like ours are refused in the environment, all others and NOTIFY_SOCKET are not', () => {
    load({ env: { NOTIFY_SOCKET: '/run/systemd/notify', HOME: '/root', GARNERED: '1', LC_ALL: 'C' } });
    expect(refusal({ env: { GARNER_TIME_OUT: '1h' } })).toMatchObject({
      message: 'cannot use "the environment": unknown setting "GARNER_TIME_OUT"',
      hint: 'did you mean GARNER_TIMEOUT?',
    });
    expect(refusal({ env: { NOTIFY_X: '1' } }).message).toContain('"NOTIFY_X"');
    expect(refusal({ env: { 'GARNER_\x1b[2J': '1' } }).message).toContain('"GARNER_\\x1b[2J"');
  });

  test('a short unknown name gets no far-fetched hint', () => {
    for (const name of ['X', 'GARNER_X', 'NOTIFY_']) {
      put('garner.env', `${name}=1\n`);
      expect(refusal().hint).toBe('see docs/settings.md for all settings');
    }
  });

  test('F61 a key given twice is refused, with the line', () => {
    const file = put('garner.env', 'GARNER_HOST=a\n\nexport GARNER_HOST=b\n');
    expect(refusal().message).toBe(`cannot use "${file}": line 3: GARNER_HOST is given twice`);
  });
});

describe('how a file is written', () => {
  test('F61 a BOM, CRLF, comments, export and spaces around = are read right', () => {
    put('garner.env', '\uFEFFGARNER_HOST = web1 \r\n# a comment\r\n\r\nexport GARNER_TIMEOUT=90s\r\n');
    expect(load()).toMatchObject({ GARNER_HOST: 'web1', GARNER_TIMEOUT: 90_000 });
  });

  test.each([
    [`"a b#c"`, 'a b#c'],
    [`'a"b$c'`, 'a"b$c'],
    ['`it\'s "so"`', `it's "so"`],
    [`'x' # a comment`, 'x'],
    ['--a=b --c', '--a=b --c'],
  ])('the value %s is %s', (written, value) => {
    put('garner.env', `MYSQLDUMP_PARAMS=${written}\n`);
    expect(load().MYSQLDUMP_PARAMS).toBe(value);
  });

  test.each([
    ['pass#word', 'has a # outside quotes'],
    ['x # a comment', 'has a # outside quotes'],
    [`"a"b"`, 'goes on after its closing "'],
    [`'two\nlines'`, "has no closing '"],
  ])('the value %j is refused, with the line', (written, problem) => {
    const file = put('garner.env', `\nMYSQLDUMP_PARAMS=${written}\n`);
    expect(refusal().message).toBe(`cannot use "${file}": line 2: the value of MYSQLDUMP_PARAMS ${problem}`);
  });

  test.each(['just words', 'GARNER_HOST: x', 'GARNER HOST=x', '=x'])('the line %j is refused', (line) => {
    put('garner.env', `${line}\n`);
    expect(refusal().message).toContain('line 1: it is not NAME=value');
  });
});

describe('secrets', () => {
  test('F61 a file with a secret that others can read is refused, with the remedy', () => {
    const file = put('garner.env', "NOTIFY_SMTP_PASSWORD='hunter2'\n", 0o644);
    expect(refusal()).toMatchObject({
      code: 'configuration-permissions',
      message: `cannot use file "${file}": it holds a secret and others can read it`,
      hint: `chmod 600 '${file}'`,
    });
    put('garner.env', 'GARNER_HOST=x\n', 0o644);
    expect(load().GARNER_HOST).toBe('x');
    put('garner.env', 'GARNER_HOST=x\n', 0o666);
    expect(refusal().message).toContain('it holds settings and others can write it');
  });

  test.runIf(process.getuid?.() === 0)('F61 a file of somebody else is refused', () => {
    const file = put('garner.env', 'GARNER_HOST=x\n');
    chownSync(file, 4711, 4711);
    expect(refusal()).toMatchObject({
      code: 'configuration-permissions',
      message: `cannot use file "${file}": it is owned by user 4711`,
    });
  });

  test('_FILE names a file that holds the secret, without its line break', () => {
    const file = put('password', 'geheim wort\n');
    put('garner.env', `NOTIFY_SMTP_PASSWORD_FILE=${file}\n`, 0o644);
    expect(load().NOTIFY_SMTP_PASSWORD).toBe('geheim wort');
    chmodSync(file, 0o604);
    expect(refusal()).toMatchObject({ code: 'configuration-permissions' });
  });

  test('_FILE is refused where it is empty, missing, or beside the secret itself', () => {
    const file = put('password', '\n');
    expect(refusal({ env: { NOTIFY_SMTP_PASSWORD_FILE: file } }).message).toBe(
      `cannot read the secret file "${file}": it is empty`,
    );
    expect(refusal({ env: { NOTIFY_SMTP_PASSWORD_FILE: `${file}2` } }).message).toContain('no such file');
    expect(
      refusal({ env: { NOTIFY_SMTP_PASSWORD_FILE: file, NOTIFY_SMTP_PASSWORD: 'x' } }).message,
    ).toContain('both NOTIFY_SMTP_PASSWORD and NOTIFY_SMTP_PASSWORD_FILE are set');
  });

  test('what was read as a secret is redacted from then on, also a password that looks like a URL', () => {
    load({ env: { NOTIFY_SMTP_PASSWORD: 'tango:bravo' } });
    load({ env: { GARNER_DATABASE_URL: 'mysql://wiki:s%20cret@db/wiki' } });
    expect(redact('got tango:bravo')).toBe('got [redacted]');
    expect(redact('-ps cret mysql://wiki:s%20cret@db/wiki')).toBe(
      '-p[redacted] mysql://wiki:[redacted]@db/wiki',
    );
  });
});

describe('values', () => {
  test.each([
    ['GARNER_TIMEOUT', 'soon', 'it is no duration such as 90s, 15m, 6h, 1d'],
    ['GARNER_LOG', 'xml', 'it is none of text, json'],
    ['GARNER_CHECKSUMS', 'sha1', 'sha256 must be among them: it is what archives are verified by'],
    ['GARNER_CHECKSUMS', 'md5', 'it is none of sha256, sha1'],
    ['GARNER_AGE_RECIPIENTS', ',', 'it names no recipient'],
    ['GARNER_HOST', '../x', 'a host name has letters, digits, dots and dashes only'],
    ['NOTIFY_QUIET_OK', 'maybe', 'it is neither true nor false'],
  ])('%s=%s is refused, naming where it comes from', (name, value, problem) => {
    const file = put('garner.env', `${name}=${value}\n`);
    expect(refusal().message).toBe(`cannot use setting "${name}": "${value}" from ${file}: ${problem}`);
    expect(refusal({ env: { [name]: value } }).message).toContain('from the environment');
  });

  test('lists, paths, durations and words are read as documented', () => {
    expect(list(' a, b ,,c')).toEqual(['a', 'b', 'c']);
    expect(load({ env: { DIRECTORIES: '/a:/b/../c:' } }).DIRECTORIES).toEqual(['/a', '/c']);
    expect(durationMs('1d12h')).toBe(36 * 3_600_000);
    expect(['yes', 'TRUE', '1', 'no', 'False', '0'].map(boolean)).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(load({ env: { GARNER_CHECKSUMS: 'sha256, sha256' } }).GARNER_CHECKSUMS).toEqual(['sha256']);
  });
});
