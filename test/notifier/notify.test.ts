import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { makeArchive, makeHost } from '../helpers/notify.ts';

describe('the command', () => {
  it.each([0, 1, 2, 5, 77, 125])('decides the exit code: %i', async (code) => {
    using host = makeHost();
    const { exitCode } = await host.notify(['--', 'sh', '-c', `exit ${code}`]);
    expect(exitCode).toBe(code);
    expect(host.mail().headers['x-garner-result']).toBe(code === 0 ? 'OK' : 'FAILED');
  });

  it('is passed on byte by byte: both outputs, and its input', async () => {
    using host = makeHost();
    await execa('dd', ['if=/dev/urandom', `of=${host.root}/in`, 'bs=1M', 'count=9', 'status=none']);
    const run = host.notify(['--', 'sh', '-c', 'tee /dev/stderr'], {
      inputFile: join(host.root, 'in'),
      encoding: 'buffer',
      stripFinalNewline: false,
    });
    const { stdout, stderr } = (await run) as unknown as { stdout: Uint8Array; stderr: Uint8Array };
    const { stdout: sums } = await execa('sha256sum', [join(host.root, 'in')]);
    for (const output of [stdout, stderr]) {
      expect(createHash('sha256').update(output).digest('hex')).toBe(sums.slice(0, 64));
    }
  });

  it('may open /dev/stdout and /dev/stderr again, as under cron', async () => {
    using host = makeHost();
    const { exitCode, stdout, stderr } = await host.notify([
      ...['--', 'sh', '-c', 'echo out > /dev/stdout && echo err > /dev/stderr'],
    ]);
    expect([exitCode, stdout, stderr]).toEqual([0, 'out', 'err']);
  });

  it('works without a writable temporary directory', async () => {
    using host = makeHost({ TMPDIR: '/nonexistent' });
    const { exitCode, stdout } = await host.notify(['--', 'sh', '-c', 'seq 1 200000; exit 6']);
    expect([exitCode, stdout.split('\n').length]).toEqual([6, 200_000]);
    expect(host.mail().text).toContain('left out');
  });

  it('is run as it is: its words never reach a shell', async () => {
    using host = makeHost();
    const words = ['$HOME', '`id`', '"', "'", '; exit 9', '--name', '--', '-x', ''];
    const { stdout } = await host.notify(['--', 'printf', '%s\\n', ...words]);
    expect(stdout).toBe(words.join('\n'));
  });

  it('gets the environment without notify’s own settings, but with garner’s', async () => {
    using host = makeHost({ NOTIFY_NAME: 'x', NOTIFY_SOCKET: '/run/systemd/notify', LANG: 'de_DE.UTF-8' });
    const { stdout } = await host.notify(['--', 'env']);
    expect(stdout).toContain('GARNER_HOST=web1.example.test');
    expect(stdout).toContain('LANG=de_DE.UTF-8');
    expect(stdout.match(/^NOTIFY_.*$/gm)).toEqual(['NOTIFY_SOCKET=/run/systemd/notify']);
  });

  it('goes on when the reader of the output has gone', async () => {
    using host = makeHost();
    const mark = join(host.root, 'finished');
    const notify = `"$NODE" ${join(import.meta.dirname, '../../cli/main.ts')} notify`;
    await execa('sh', ['-c', `${notify} -- sh -c 'seq 1 500000; touch ${mark}' | head -n 1`], {
      env: { ...host.env, NODE: process.execPath },
      extendEnv: false,
    });
    expect(readFileSync(mark, 'utf8')).toBe('');
    expect(host.mail().headers['x-garner-result']).toBe('OK');
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'gets %s with all of its group; the message is sent',
    async (signal) => {
      using host = makeHost();
      const inner = `sh -c 'trap "echo inner got it; exit" TERM INT HUP; echo ready; while :; do sleep 0.1; done'`;
      const run = host.notify(['--', 'bash', '--norc', '-c', `trap 'exit 43' TERM INT HUP; ${inner}`]);
      for await (const chunk of run.stdout as AsyncIterable<Buffer>)
        if (String(chunk).includes('ready')) break;
      run.kill(signal);
      const { exitCode } = await run;
      expect(exitCode).toBe(43);
      expect(host.mail().headers['x-garner-result']).toBe('FAILED');
      expect(host.mail().text).toContain('inner got it');
    },
  );
});

describe('the message', () => {
  it('says what an administrator asks, as text and as HTML', async () => {
    using host = makeHost();
    await host.notify([
      '--name',
      'nightly dump',
      '--',
      'sh',
      '-c',
      'echo working; echo "disk <full>" >&2; exit 9',
    ]);
    const { headers, text, html } = host.mail();
    expect(headers.subject).toBe('[garner] FAILED nightly dump on web1.example.test: disk <full>');
    expect(headers.from).toBe('garner@web1.example.test');
    for (const fact of [
      /Command: +sh -c 'echo working;/,
      /Started: +\d{4}-/,
      /Duration: +\d/,
      /Exit code: 9\n/,
    ]) {
      expect(text).toMatch(fact);
    }
    expect(text).toMatch(/Log\n---\nworking\ndisk <full>\n/);
    expect(html).toContain('working\ndisk &lt;full&gt;');
  });

  it('names the cause by garner’s own error line, with its hint', async () => {
    using host = makeHost();
    const agent = host.script(
      'agent-fake',
      `#!/bin/sh
echo '(01:00:00) dumping' >&2
echo 'agent-fake: cannot connect to database "wiki": connection refused' >&2
echo 'hint: is it running?' >&2
echo 'see the log' >&2
exit 1`,
    );
    await host.notify(['--', agent]);
    const { headers, text } = host.mail();
    expect(headers.subject).toBe(
      '[garner] FAILED fake on web1.example.test: cannot connect to database "wiki": connection refused',
    );
    expect(text).toContain('hint: is it running?\n');
  });

  it('is called as --name, else NOTIFY_NAME, else the command says', async () => {
    using host = makeHost({ NOTIFY_NAME: 'from the settings' });
    await host.notify(['--', 'true']);
    expect(host.mail().headers.subject).toContain(' OK from the settings on ');
    await host.notify(['--name', 'given', '--', 'true']);
    expect(host.mail().headers.subject).toContain(' OK given on ');
  });

  it('is not sent for OK where NOTIFY_QUIET_OK says so, but for a failure', async () => {
    using host = makeHost({ NOTIFY_QUIET_OK: 'true' });
    await host.notify(['--', 'true']);
    expect(host.gotMail()).toBe(false);
    await host.notify(['--', 'false']);
    expect(host.gotMail()).toBe(true);
  });
});

describe('results', () => {
  it('are WARNINGS and LOCKED for 3 and 4 of garner’s commands only', async () => {
    using host = makeHost();
    const result = async (name: string, code: number, options: string[] = []): Promise<string> => {
      const command = host.script(name, `#!/bin/sh\necho because >&2\nexit ${code}\n`);
      const { exitCode } = await host.notify([...options, '--', command]);
      expect(exitCode).toBe(code);
      return host.mail().headers['x-garner-result'] as string;
    };
    for (const name of ['agent-fake', 'archiver', 'garner', 'bucket']) {
      expect([name, await result(name, 3), await result(name, 4)]).toEqual([name, 'WARNINGS', 'LOCKED']);
    }
    for (const name of ['dump.sh', 'agent-Fake', 'my-archiver']) {
      expect([name, await result(name, 3), await result(name, 4)]).toEqual([name, 'FAILED', 'FAILED']);
    }
    expect(await result('dump.sh', 3, ['--warning-codes'])).toBe('WARNINGS');
    expect(await result('dump.sh', 4, ['--warning-codes'])).toBe('LOCKED');
    expect(await result('dump.sh', 5, ['--warning-codes'])).toBe('FAILED');
  }, 120_000);

  it('are OK for an agent only with an archive that its checksum file fits', async () => {
    using host = makeHost();
    const archive = await makeArchive(host.root);
    const run = async (print: string, args: string[] = []): Promise<string> => {
      const agent = host.script('agent-fake', `#!/bin/sh\n${print}\n`);
      const { exitCode } = await host.notify(['--', agent, ...args]);
      expect(exitCode).toBe(0);
      return host.mail().headers.subject?.replace('[garner] ', '') as string;
    };
    const on = 'fake on web1.example.test:';
    expect(await run(`echo ${archive}`)).toBe(`OK ${on} 11 B`);
    expect(host.mail().text).toContain((await execa('sha256sum', [archive])).stdout.slice(0, 64));
    expect(await run(`echo '{"result":"ok","archive":"${archive}"}'`, ['--json'])).toBe(`OK ${on} 11 B`);
    expect(await run(`echo ${archive}`, ['--instance', 'blue'])).toMatch(/^OK fake\.blue on/);
    expect(await run('echo "all done"', ['describe'])).toMatch(/^OK .* done in/);

    expect(await run('true')).toBe(`FAILED ${on} it said that it is done, but named no archive`);
    expect(await run(`echo ${archive}; echo done`)).toMatch(/^FAILED .* named no archive$/);
    expect(await run('echo relative.tar')).toMatch(/^FAILED .* named no archive$/);
    expect(await run('echo "{"', ['--json'])).toMatch(/^FAILED .* its JSON is damaged$/);
    expect(await run('echo /nonexistent.tar')).toMatch(/^FAILED .*: it is not there$/);
    expect(await run(`echo ${host.root}`)).toMatch(/^FAILED .*: it is no regular file$/);
    writeFileSync(`${archive}.sha256`, `${'0'.repeat(64)}  other.tar\n`);
    expect(await run(`echo ${archive}`)).toMatch(/^FAILED .*: cannot use checksum file/);
    await makeArchive(host.root);
    writeFileSync(archive, 'an archivE\n');
    expect(await run(`echo ${archive}`)).toMatch(/^FAILED .*: cannot verify archive/);
    const warned = host.script('agent-warned', `#!/bin/sh\necho ${archive}; exit 3\n`);
    expect((await host.notify(['--', warned])).exitCode).toBe(3);
    expect(host.mail().headers.subject).toMatch(/FAILED warned .*: cannot verify archive/);
  }, 120_000);
});

describe('notify itself', () => {
  it.each([
    ['an unknown option', ['--nonsense', '--', 'touch', 'ran'], {}],
    ['no command', [], {}],
    ['nothing after --', ['--'], {}],
    ['an unknown action', ['tset'], {}],
    ['an unknown setting', ['--', 'touch', 'ran'], { NOTIFY_EMAIL_TOO: 'x@example.test' }],
    [
      'an address that would be an option',
      ['--', 'touch', 'ran'],
      { NOTIFY_EMAIL_TO: '-oQ/tmp@example.test' },
    ],
    [
      'a second header in an address',
      ['--', 'touch', 'ran'],
      { NOTIFY_EMAIL_FROM: 'a@example.test\nBcc: b' },
    ],
    ['an unknown transport', ['--', 'touch', 'ran'], { NOTIFY_TRANSPORTS: 'email,pigeon' }],
    ['a user without a password', ['--', 'touch', 'ran'], { NOTIFY_SMTP_URL: 'smtp://me@mx.example.test' }],
    ['another scheme', ['--', 'touch', 'ran'], { NOTIFY_SMTP_URL: 'http://mx.example.test' }],
    ['a missing --config', ['--config', '/nonexistent', '--', 'touch', 'ran'], {}],
  ])('exits with 125 for %s, before anything is run', async (_, args, env: Record<string, string>) => {
    using host = makeHost(env);
    const { exitCode, stderr } = await host.notify(args, { cwd: host.root });
    expect(exitCode).toBe(125);
    expect(stderr).toMatch(/^notify: /);
    expect((await execa('ls', [host.root])).stdout).not.toContain('ran');
  });

  it('never shows a password that stands in the URL by mistake', async () => {
    using host = makeHost({ NOTIFY_SMTP_URL: 'smtp://me:hunter2hunter2@mx.example.test' });
    const { exitCode, stderr } = await host.notify(['--', 'true']);
    expect(exitCode).toBe(125);
    expect(stderr).toContain('NOTIFY_SMTP_PASSWORD');
    expect(stderr).not.toContain('hunter2');
  });

  it('runs the command where nobody is to be told, and says so', async () => {
    using host = makeHost({ NOTIFY_EMAIL_TO: '' });
    const { exitCode, stderr } = await host.notify(['--', 'sh', '-c', 'exit 8']);
    expect(exitCode).toBe(8);
    expect(stderr).toMatch(/nobody was told: .* NOTIFY_EMAIL_TO/);
  });

  it('reads settings from --config in front of garner.env', async () => {
    using host = makeHost({ NOTIFY_EMAIL_TO: '' });
    writeFileSync(
      join(host.root, 'etc/garner.env'),
      'NOTIFY_EMAIL_TO=all@example.test\nNOTIFY_NAME=everything\n',
    );
    await host.notify(['--', 'true']);
    expect(host.mail().headers).toMatchObject({ to: 'all@example.test' });
    writeFileSync(join(host.root, 'own.env'), 'NOTIFY_EMAIL_TO=a@example.test, Jane Doe <b@example.test>\n');
    await host.notify(['--config', join(host.root, 'own.env'), '--', 'true']);
    const { to, subject } = host.mail().headers;
    expect(to).toBe('a@example.test, Jane Doe <b@example.test>');
    expect(subject).toContain('OK everything on');
  });

  it('sends a sample by every transport with `notify test`, and says whether it left', async () => {
    using host = makeHost();
    const good = await host.notify(['test']);
    expect([good.exitCode, good.stdout]).toEqual([
      0,
      `email: sent to root@example.test by ${host.root}/sendmail`,
    ]);
    expect(host.mail().headers.subject).toBe('[garner] OK test on web1.example.test: this is only a test');
    host.script('sendmail', '#!/bin/sh\necho no route >&2\nexit 75\n');
    const bad = await host.notify(['test']);
    expect(bad.exitCode).toBe(1);
    expect(bad.stdout).toMatch(/^email: NOT sent to .*: no route \(exit code 75\)$/);
    expect(host.queue()).toEqual([]);
  });
});
