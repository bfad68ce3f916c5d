// What hosts may offer to harm the archiver or the other hosts: names, sizes, listings, manifests, bombs.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { startHostileSftp } from '../helpers/hostile-sftp.ts';
import { makeArchive, stamp } from '../helpers/make-archive.ts';
import { makeHost } from '../helpers/notify.ts';
import { THOROUGH } from '../helpers/random.ts';
import { startSshd } from '../helpers/sshd.ts';

const BIN = join(import.meta.dirname, '../../bin');
const LONG = { timeout: 180_000 };
const FLAT_KB = 300_000;

/** Says how much memory a process took at most, in kilobytes. */
const PEAK = `process.on('exit', () =>
  require('node:fs').writeFileSync(process.env.PEAK_FILE, String(process.resourceUsage().maxRSS)));`;

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
  writeFileSync(join(archiver.directory, 'peak.cjs'), PEAK);
});
afterEach(() => archiver.remove());

/** Pulls, with memory that must stay flat. */
async function pull() {
  const peak = join(archiver.directory, 'peak');
  const env = { NODE_OPTIONS: `--require ${archiver.directory}/peak.cjs`, PEAK_FILE: peak };
  const ended = await archiver.run(['pull', '--json'], { env });
  expect(Number(readFileSync(peak, 'utf8')), ended.stderr).toBeLessThan(FLAT_KB);
  return ended;
}

it('F48 hostile names of a host reach no path, no terminal and no markup, by SFTP, in the log, JSON and mail', async () => {
  const sshd = await startSshd();
  using told = makeHost();
  const work = archiver.workDir('web1');
  archiver.configure(
    `hosts:\n  web1: {url: "${sshd.url(work)}", identityFile: ${sshd.identityFile}, hostKeys: ["${sshd.hostKeys.ed25519}"], remove: true}\n`,
  );
  const good = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
  const names = [
    '-rf.tar',
    'a\nb\r\nBcc: evil@example.test.tar',
    '\u001b]0;title\u0007\u001b[2J.tar',
    '\u202egnp.tar',
    '..%2f..%2fetc%2fpasswd.tar',
    '<img src=x onerror=alert(1)>.tar',
    '$(touch pwned).tar',
    'mediawiki-..-20260101T000000Z.tar',
    `${'a'.repeat(251)}.tar`,
    'mediawiki-web1-20260101T000000Z\n.tar',
  ];
  for (const name of names) {
    writeFileSync(join(work, name), 'x');
    if (Buffer.byteLength(name) < 240) writeFileSync(join(work, `${name}.sha256`), 'x');
  }
  mkdirSync(join(work, 'history'));
  for (const name of ['..-web1.jsonl', 'a\u001b-web1.jsonl', '-web1.jsonl'])
    writeFileSync(join(work, 'history', name), '{}\n');
  const before = readdirSync(archiver.directory).sort();
  const shown = await archiver.run(['pull', '--json']);
  const told1 = await told.notify(['--', join(BIN, 'archiver'), 'pull', '--config', archiver.configFile]);
  expect([shown.exitCode, told1.exitCode]).toEqual([3, 3]);
  const { raw, text, html } = told.mail();
  for (const output of [shown.stdout, shown.stderr, String(told1.stderr), raw, text, html])
    expect(output).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  for (const line of shown.stderr.split('\n')) expect(line).toMatch(/^(\(\d\d:\d\d:\d\d\)|archiver:|hint:)/);
  expect(raw).not.toMatch(/^Bcc:/m);
  expect(html).not.toMatch(/<img src=x/);
  expect(shown.json.hosts[0].pulled).toMatchObject([{ name: good.name }]);
  // all that was written is the good archive, and history by no name of a host's own
  expect(archiver.stored()).toEqual(
    [
      '.garner-archive',
      ...['', '.sha1', '.sha256'].map((suffix) => `web1/mediawiki/${good.name}.tar${suffix}`),
    ].sort(),
  );
  expect(
    readdirSync(archiver.directory)
      .filter((name) => name !== 'run')
      .sort(),
  ).toEqual(before);
  for (const name of names) expect(existsSync(join(work, name)), name).toBe(true);
  await sshd.stop();
});

it('F50 a listing without an end and sizes that nothing has: those hosts are bad, the others are served', async () => {
  const archive = (host: string): string[] => {
    const name = `mediawiki-${host}-${stamp(daysAgo(2))}.tar`;
    return [name, `${name}.sha256`, `${name}.sha1`];
  };
  const batch = Array.from({ length: 1000 }, (_, index) => `file${index}`);
  await using endless = await startHostileSftp({ names: () => batch });
  await using absurd = await startHostileSftp({
    names: (index) => (index === 0 ? archive('absurd') : undefined),
    attributes: { size: 2 ** 60 },
  });
  await using huge = await startHostileSftp({
    names: (index) => (index === 0 ? archive('huge') : undefined),
    attributes: { size: 2 ** 45, mtime: 2 ** 32 - 1 },
    read: (sftp, id, _offset, length) => sftp.data(id, Buffer.alloc(Math.min(length, 32_000), 'a')),
  });
  const hosts = { endless, absurd, huge };
  archiver.configure(
    `hosts:\n${Object.entries(hosts)
      .map(([name, { url, hostKeys }]) => `  ${name}: {url: "${url}", hostKeys: ["${hostKeys[0]}"]}\n`)
      .join('')}  good: {url: "file://${archiver.workDir('good')}"}\n`,
  );
  const good = await makeArchive(archiver.workDir('good'), { host: 'good', time: daysAgo(1) });
  const { exitCode, stderr, json } = await pull();
  expect(exitCode).toBe(1);
  expect(json.hosts.map(({ result }: { result: string }) => result)).toEqual([
    'failed',
    'failed',
    'failed',
    'ok',
  ]);
  expect(json.hosts[3].pulled).toMatchObject([{ name: good.name }]);
  for (const [host, cause] of [
    ['endless', 'there are more than 100000 entries'],
    ['absurd', `has ${2 ** 60} bytes`],
    ['huge', 'it is too large'],
  ])
    expect(stderr).toMatch(new RegExp(`error: ${host}: cannot .*${cause}`));
});

it(
  'F50 thousands of names of archives that are none: told of some, and the good one is fetched',
  LONG,
  async () => {
    archiver.configureHosts(['web1']);
    const work = archiver.workDir('web1');
    const count = THOROUGH ? 45_000 : 1000;
    for (let index = 0; index < count; index += 1) {
      const name = `mediawiki-web1-${stamp(new Date(daysAgo(9).getTime() + index * 1000))}.tar`;
      writeFileSync(join(work, name), '');
      writeFileSync(join(work, `${name}.sha256`), '');
    }
    const good = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    const { exitCode, stderr, stdout, json } = await pull();
    expect(exitCode).toBe(1);
    expect(json.hosts[0].pulled).toMatchObject([{ name: good.name }]);
    expect(json.hosts[0].failureCount).toBe(count);
    expect(stderr.length + stdout.length).toBeLessThan(100_000);
    expect(stderr).toContain(`${count} failures`);
  },
);

it('F51 a manifest larger than any is not read', LONG, async () => {
  archiver.configureHosts(['web1']);
  const work = archiver.workDir('web1');
  const name = `mediawiki-web1-${stamp(daysAgo(1))}.tar`;
  const size = THOROUGH ? '1000M' : '64M';
  await execa(
    'bash',
    [
      '-euc',
      `printf '1\\n' > VERSION; truncate -s ${size} manifest.json
       tar --format=ustar --blocking-factor=1 -cf ${name} VERSION manifest.json; sha256sum ${name} > ${name}.sha256
       rm VERSION manifest.json`,
    ],
    { cwd: work },
  );
  const { exitCode, stderr } = await pull();
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(
    new RegExp(`error: web1: cannot read archive ".*${name}": its manifest is larger than`),
  );
  expect(existsSync(join(archiver.root, `.quarantine/web1/${name}`))).toBe(true);
});

it(
  'F52 a small archive that expands to gigabytes costs no memory and no disk, and not more time than it says',
  LONG,
  async () => {
    archiver.configureHosts(['liar', 'honest']);
    const frames = THOROUGH ? 48 : 6;
    const frameBytes = 256 << 20;
    const frame = join(archiver.directory, 'frame.zst');
    await execa('sh', ['-c', `head -c ${frameBytes} /dev/zero | zstd -q -c > "$1"`, 'sh', frame]);
    const bomb = join(archiver.directory, 'bomb.zst');
    writeFileSync(bomb, Buffer.concat(Array.from({ length: frames }, () => readFileSync(frame))));
    const total = frames * frameBytes;
    const time = daysAgo(1);
    const said = { liar: 1_000_000, honest: total };
    for (const [host, uncompressedSizeBytes] of Object.entries(said)) {
      const { sizeBytes } = await makeArchive(archiver.workDir(host), {
        host,
        time,
        tree: { path: bomb, uncompressedSizeBytes },
      });
      expect(sizeBytes).toBeLessThan(total / 5000);
    }
    const { exitCode, stderr, json } = await pull();
    expect(exitCode).toBe(1);
    const [liar, honest] = json.hosts;
    expect(liar).toMatchObject({ pulled: [], error: { code: 'content-mismatch' } });
    const seen = Number(/it has at least (\d+) bytes, the manifest says 1000000/.exec(stderr)?.[1]);
    expect(seen).toBeLessThan(32 << 20);
    expect(honest).toMatchObject({ result: 'ok', pulled: [{}] });
    const files = archiver.stored().map((file) => statSync(join(archiver.root, file)).size);
    expect(files.reduce((sum, size) => sum + size, 0)).toBeLessThan(total / 1000);
  },
);

const isRoot = process.getuid?.() === 0;

it.skipIf(!isRoot)(
  'F47 a store that fills up under two pulls at once: nothing is lost, and with room all comes',
  {
    timeout: 120_000,
  },
  async () => {
    archiver.configureHosts(['web1', 'web2', 'web3'], { host: 'remove: true' });
    rmSync(archiver.root, { recursive: true });
    mkdirSync(archiver.root);
    const sizeOf: Record<string, number> = { web1: 9_000_000, web2: 8_000_000, web3: 10_000_000 };
    const made = new Map<string, { path: string; sha256: string; name: string }>();
    for (const [host, size] of Object.entries(sizeOf)) {
      const content = Buffer.alloc(size);
      for (let at = 0; at < size; at += 32)
        createHash('sha256').update(`${host}${at}`).digest().copy(content, at);
      made.set(host, await makeArchive(archiver.workDir(host), { host, time: daysAgo(1), content }));
    }
    // each alone has room, and what is to stay free; together they have not
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=19m', 'tmpfs', archiver.root]);
    try {
      expect((await archiver.run(['init'])).exitCode).toBe(0);
      const full = await archiver.run(['pull', '--json']);
      expect(full.exitCode, full.stderr).toBe(1);
      expect(full.stderr).toMatch(/error: web\d: cannot .*(no space|free)/);
      const here = (host: string): string =>
        join(archiver.root, host, 'mediawiki', `${made.get(host)?.name}.tar`);
      const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
      for (const [host, { path, sha256: digest }] of made) {
        if (existsSync(here(host))) expect(sha256(here(host))).toBe(digest);
        if (existsSync(path)) expect(sha256(path)).toBe(digest);
        else expect(existsSync(here(host)), `${host}\n${full.stderr}`).toBe(true);
      }
      expect(archiver.stored().filter((file) => file.includes('.part-'))).toEqual([]);
      await execa('mount', ['-o', 'remount,size=80m', archiver.root]);
      const room = await archiver.run(['pull']);
      expect(room.exitCode, room.stderr).toBe(0);
      for (const [host, { path, sha256: digest }] of made) {
        expect(sha256(here(host))).toBe(digest);
        expect(existsSync(path)).toBe(false);
      }
    } finally {
      await execa('umount', [archiver.root]);
    }
  },
);
