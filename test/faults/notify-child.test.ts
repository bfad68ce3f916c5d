import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { makeHost } from '../helpers/notify.ts';

/** Loaded into notify: writes down the most memory it had, in kB. */
const PEAK = `process.on('exit', () => require('node:fs').writeFileSync(process.env.PEAK_FILE,
  /VmHWM:\\s+(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[1]));`;

describe.concurrent('F55 a command that does not end', () => {
  it('is ended with its group by the time limit, also where it ignores SIGTERM', async () => {
    using host = makeHost({ GARNER_TIMEOUT: '1s' });
    const script = 'trap "" TERM; echo $$; sleep 1000 & echo $!; while :; do sleep 1; done';
    const { exitCode, stdout } = await host.notify(['--', 'sh', '-c', script]);
    expect(exitCode).toBe(137);
    expect(host.mail().headers.subject).toMatch(/FAILED sh on .*: the time limit of 1.0 s has passed$/);
    for (const pid of stdout.split('\n')) {
      expect((await execa('ps', ['-o', 'stat=', '-p', pid], { reject: false })).stdout).toMatch(/^(Z.*)?$/);
    }
  });

  it('is no success where it traps SIGTERM and exits with 0', async () => {
    using host = makeHost({ GARNER_TIMEOUT: '1s' });
    const { exitCode } = await host.notify([
      ...['--', 'bash', '--norc', '-c'],
      'trap "exit 0" TERM; while :; do sleep 0.1; done',
    ]);
    expect(exitCode).toBe(143);
    expect(host.mail().headers['x-garner-result']).toBe('FAILED');
  });

  it('is ended where it ignores the signal that notify got', async () => {
    using host = makeHost();
    const run = host.notify(['--', 'sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 1; done']);
    for await (const chunk of run.stdout) if (String(chunk).includes('ready')) break;
    run.kill('SIGTERM');
    const { exitCode } = await run;
    expect(exitCode).toBe(137);
    expect(host.mail().headers.subject).toContain('FAILED');
  });

  it('is waited for no longer when it has ended and a grandchild keeps its output', async () => {
    using host = makeHost();
    const { exitCode, stdout, stderr } = await host.notify([
      '--',
      'sh',
      '-c',
      'sleep 1000 & echo $!; exit 5',
    ]);
    try {
      expect(exitCode).toBe(5);
      expect(stderr).toContain('"sh" has ended; not waiting for what it left running');
      expect(host.mail().headers['x-garner-result']).toBe('FAILED');
    } finally {
      process.kill(Number(stdout));
    }
  });

  it('loses no output to a slow reader', async () => {
    using host = makeHost();
    const notify = `"$NODE" ${join(import.meta.dirname, '../../cli/main.ts')} notify`;
    const { stdout } = await execa('sh', ['-c', `${notify} -- seq 1 100000 | (sleep 8; sha256sum)`], {
      env: { ...host.env, NODE: process.execPath },
      extendEnv: false,
    });
    const { stdout: expected } = await execa('sh', ['-c', 'seq 1 100000 | sha256sum']);
    expect(stdout).toBe(expected);
  });
});

describe('F56 a flood of output', () => {
  it.each([
    ['1 GB', 'head -c 1000000000 /dev/zero', 'head -c 1000000000 /dev/zero'],
    [
      'one line of 200 MB',
      'head -c 200000000 /dev/zero | tr "\\0" x',
      'head -c 200000000 /dev/zero | tr "\\0" x',
    ],
    ['30 MB of noise', 'cat "$NOISE"', 'cat "$NOISE"'],
  ])('passes through unchanged with flat memory: %s', async (_, script, same) => {
    using host = makeHost();
    host.env.NOISE = join(host.root, 'noise');
    await execa('sh', ['-c', 'head -c 30000000 /dev/urandom > "$NOISE"'], { env: host.env });
    writeFileSync(join(host.root, 'peak.cjs'), PEAK);
    const notify = `"$NODE" --require ${host.root}/peak.cjs ${join(import.meta.dirname, '../../cli/main.ts')} notify`;
    const env = { ...host.env, NODE: process.execPath, PEAK_FILE: join(host.root, 'peak') };
    const { stdout } = await execa('sh', ['-c', `${notify} -- sh -c '${script}' | sha256sum`], {
      env,
      extendEnv: false,
    });
    const { stdout: expected } = await execa('sh', ['-c', `${same} | sha256sum`], { env });
    expect(stdout).toBe(expected);
    expect(Number(readFileSync(join(host.root, 'peak'), 'utf8'))).toBeLessThan(150_000);
    const { raw, text, html } = host.mail();
    expect(raw.length).toBeLessThan(2_000_000);
    expect(text).toMatch(/\[… \d+\.\d MB left out …\]|\[… 1\.0 GB left out …\]/);
    for (const part of [text, html]) expect(part).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
  });

  it('shows the first and the last lines, escapes of terminals as text', async () => {
    using host = makeHost();
    const script =
      'printf "\\033[31mfirst\\033[0m\\007\\n"; seq 1 100000; printf "\\033]0;title\\007last\\n"';
    await host.notify(['--', 'sh', '-c', script]);
    const { text } = host.mail();
    expect(text).toContain('\n\\x1b[31mfirst\\x1b[0m\\x07\n1\n2\n');
    expect(text).toContain('\n100000\n\\x1b]0;title\\x07last\n');
  });
});

describe('F57 secrets and hostile names', () => {
  it('appear in no mail: settings, configuration files, words, variables', async () => {
    using host = makeHost({
      NOTIFY_SMTP_PASSWORD: '',
      PGPASSWORD: 'pg-secret-1',
      API_TOKEN: 'token-secret-2',
    });
    const etc = join(host.root, 'etc');
    writeFileSync(join(etc, 'garner.env'), 'GARNER_RESTORE_DATABASE_URL=mysql://u:core-secret-3@h/db\n', {
      mode: 0o600,
    });
    writeFileSync(join(etc, 'agent-mediawiki.env'), `GARNER_DATABASE_URL_FILE=${etc}/url\n`, {
      mode: 0o600,
    });
    writeFileSync(join(etc, 'url'), 'mysql://u:agent%2Dsecret%2D4@h/db\n', { mode: 0o600 });
    const secrets = [
      'pg-secret-1',
      'token-secret-2',
      'core-secret-3',
      'agent-secret-4',
      'word-secret-5',
      'url-secret-6',
    ];
    const encoded = Buffer.from('pg-secret-1').toString('base64');
    const agent = host.script(
      'agent-mediawiki',
      `#!/bin/sh\nfor s in ${secrets.join(' ')} ${encoded}; do echo "out $s"; echo "cannot use $s" >&2; done; exit 1\n`,
    );
    await host.notify(['--', agent, '--password=word-secret-5', 'sftp://u:url-secret-6@h/']);
    const { raw, text, html } = host.mail();
    for (const part of [raw, text, html])
      for (const secret of [...secrets, encoded]) expect(part).not.toContain(secret);
    expect(text.match(/out \[redacted\]/g)).toHaveLength(7);
  });

  it('make no header, no line and no markup of their own', async () => {
    using host = makeHost();
    const evil = 'x\r\nBcc: evil@example.test\r\n\r\n<script>\u202e';
    await host.notify([
      '--name',
      evil,
      '--',
      'sh',
      '-c',
      'printf "a\\r\\nSubject: y\\r\\n" >&2; exit 1',
      evil,
    ]);
    const { headers, raw, html } = host.mail();
    expect(headers.bcc).toBeUndefined();
    expect(raw.split('\n\n')[0]?.match(/^(Subject|To|From|Bcc):/gim)).toHaveLength(3);
    expect(headers.subject).toContain('x\\r\\nBcc: evil@example.test');
    expect(html).not.toMatch(/<script|\u202e/);
  });
});

describe('F58 a command that can’t be run, or is killed', () => {
  it.each([
    ['missing', ['nonexistent-command'], 127, 'there is no such command'],
    ['a missing path', ['/nonexistent/command'], 127, 'there is no such command'],
    ['not executable', ['/etc/passwd'], 126, 'permission denied'],
    ['a directory', ['/etc'], 126, 'permission denied'],
    ['below a file', ['/etc/passwd/x'], 126, 'not a directory'],
    ['killed', ['sh', '-c', 'kill -KILL $$'], 137, 'ended by SIGKILL'],
    ['crashed', ['sh', '-c', 'kill -SEGV $$'], 139, 'ended by SIGSEGV'],
  ])('is never OK: %s', async (_, command, code, cause) => {
    using host = makeHost();
    const { exitCode } = await host.notify(['--', ...command]);
    expect(exitCode).toBe(code);
    expect(host.mail().headers.subject).toMatch(/^\[garner\] FAILED /);
    expect(host.mail().headers.subject).toContain(cause);
  });

  it('is not executable where the interpreter of a script is missing', async () => {
    using host = makeHost();
    const { exitCode, stderr } = await host.notify(['--', host.script('dump', '#!/nonexistent/perl\n')]);
    expect(exitCode).toBe(126);
    expect(stderr).toContain('the interpreter in its first line is missing');
  });
});
