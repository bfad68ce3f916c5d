import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
});
afterEach(() => archiver.remove());

describe('archiver init', () => {
  test('makes the store with its mark and the catalog, for nobody else to read, and changes nothing the second time', async () => {
    archiver.configureHosts(['web1']);
    const first = await archiver.run(['init', '--json']);
    expect(first).toMatchObject({ exitCode: 0, json: { result: 'ok', made: ['archive', 'catalog'] } });
    const mark = statSync(join(archiver.root, '.garner-archive'));
    expect(statSync(archiver.root).mode & 0o777).toBe(0o700);
    expect(statSync(join(archiver.root, '.catalog/catalog.sqlite')).mode & 0o777).toBe(0o600);
    const second = await archiver.run(['init', '--json']);
    expect(second).toMatchObject({ exitCode: 0, json: { made: [] } });
    expect(statSync(join(archiver.root, '.garner-archive')).ino).toBe(mark.ino);
  });
});

describe('archiver pull', () => {
  test('brings archives here whole, with their checksum files, and leaves the source alone', async () => {
    archiver.configureHosts(['web1']);
    archiver.setUp();
    const made = await makeArchive(archiver.workDir('web1'), {
      host: 'web1',
      time: daysAgo(1),
      instance: 'blue',
    });
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({
      exitCode: 0,
      json: {
        result: 'ok',
        hosts: [
          {
            host: 'web1',
            result: 'ok',
            pulled: [{ name: made.name, sizeBytes: made.sizeBytes, sha256: made.sha256 }],
            skipped: [],
            error: null,
          },
        ],
      },
    });
    const directory = join(archiver.root, 'web1/mediawiki.blue');
    await execa('sha256sum', ['--check', '--strict', `${made.name}.tar.sha256`], { cwd: directory });
    await execa('sha1sum', ['--check', '--strict', `${made.name}.tar.sha1`], { cwd: directory });
    await execa('cmp', [made.path, join(directory, `${made.name}.tar`)]);
    expect(statSync(join(directory, `${made.name}.tar`)).mode & 0o777).toBe(0o600);
    expect(await archiver.query('SELECT state, verified, time_source, source_removed FROM archives')).toBe(
      'present|content|manifest|0',
    );
  });

  test('finds nothing new the second time', async () => {
    archiver.configureHosts(['web1']);
    archiver.setUp();
    const { name } = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull']);
    const before = archiver.stored();
    const again = await archiver.run(['pull', '--json']);
    expect(again.exitCode).toBe(0);
    expect(again.json.hosts[0]).toMatchObject({ pulled: [], skipped: [{ name, reason: 'is here already' }] });
    expect(archiver.stored()).toEqual(before);
  });

  test('removes at the source what is safe here, where told to', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    archiver.setUp();
    await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
    expect((await archiver.run(['pull'])).exitCode).toBe(0);
    expect(readdirSync(archiver.workDir('web1'))).toEqual([]);
    expect(archiver.stored().filter((file) => file.endsWith('.tar')).length).toBe(1);
    expect(await archiver.query('SELECT source_removed FROM archives')).toBe('1');
  });

  test('fetches the oldest first, so that each time can be checked against the one before', async () => {
    archiver.configureHosts(['web1']);
    archiver.setUp();
    for (const days of [1, 3, 2])
      await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) });
    const { json } = await archiver.run(['pull', '--json']);
    const names = json.hosts[0].pulled.map(({ name }: { name: string }) => name);
    expect(names).toEqual(names.toSorted());
    expect(await archiver.query("SELECT count(*) FROM archives WHERE time_source = 'manifest'")).toBe('3');
  });

  test('counts the time received, and says so, where the manifest lies about its time', async () => {
    archiver.configureHosts(['web1']);
    archiver.setUp();
    await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(-3000) });
    expect((await archiver.run(['pull'])).exitCode).toBe(0);
    expect(await archiver.query('SELECT time = received_at, time_source FROM archives')).toBe('1|received');
    const { json, stdout } = await archiver.run(['list', '--json']);
    expect(json.archives[0].timeSource, stdout).toBe('received');
  });

  test('serves the other hosts where one fails, and says which', async () => {
    const identityFile = join(archiver.directory, 'id_ed25519');
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', identityFile]);
    archiver.configure(`hosts:
  web1: {url: "file://${archiver.workDir('web1')}"}
  web2: {url: "sftp://nobody@127.0.0.1:1/work", identityFile: ${identityFile}, hostKeys: ["SHA256:${'a'.repeat(43)}"]}
  web3: {url: "file://${archiver.workDir('web3')}"}
`);
    archiver.setUp();
    for (const host of ['web1', 'web3'])
      await makeArchive(archiver.workDir(host), { host, time: daysAgo(1) });
    const result = await archiver.run(['pull', '--json']);
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toMatch(
      /archiver: cannot pull from "web2": cannot connect to "sftp:.*": connection refused$/,
    );
    expect(result.stderr).toContain('error: web2: cannot');
    expect(result.json.hosts.map(({ result }: { result: string }) => result)).toEqual(['ok', 'failed', 'ok']);
    expect(result.json.hosts[1].error.code).toBe('store-connect');
    expect(archiver.stored().filter((file) => file.endsWith('.tar')).length).toBe(2);
  });

  test('leaves out what another host or an application that was not asked for has put there', async () => {
    archiver.configureHosts(['web1'], { host: 'applications: [mediawiki]' });
    archiver.setUp();
    const work = archiver.workDir('web1');
    const wanted = await makeArchive(work, { host: 'web1', time: daysAgo(1), instance: 'blue' });
    const other = await makeArchive(work, { host: 'web1', time: daysAgo(1), application: 'jira' });
    const foreign = await makeArchive(work, { host: 'web2', time: daysAgo(1) });
    const result = await archiver.run(['pull', '--json']);
    expect(result.exitCode).toBe(3);
    const [host] = result.json.hosts;
    expect(host.pulled.map(({ name }: { name: string }) => name)).toEqual([wanted.name]);
    expect(host.skipped).toEqual(
      expect.arrayContaining([
        { name: other.name, reason: 'its application is not in the configuration' },
        { name: foreign.name, reason: 'it is of host web2, not of web1' },
      ]),
    );
  });

  test('pulls only from the hosts that are named, and knows none but those of the configuration', async () => {
    archiver.configureHosts(['web1', 'web2']);
    archiver.setUp();
    for (const host of ['web1', 'web2'])
      await makeArchive(archiver.workDir(host), { host, time: daysAgo(1) });
    expect((await archiver.run(['pull', 'web2', '--json'])).json.hosts.length).toBe(1);
    expect(existsSync(join(archiver.root, 'web1'))).toBe(false);
    const unknown = await archiver.run(['pull', 'web9']);
    expect(unknown.exitCode).toBe(2);
    expect(unknown.stderr).toContain('cannot find host "web9"');
  });

  test('says what it would fetch on a dry run, and changes nothing', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true', retention: '{last: 1}' });
    archiver.setUp();
    const { name } = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
    const result = await archiver.run(['pull', '--dry-run', '--json']);
    expect(result).toMatchObject({ exitCode: 0, json: { dryRun: true, hosts: [{ pulled: [{ name }] }] } });
    expect(archiver.stored()).toEqual(['.garner-archive']);
    expect(readdirSync(archiver.workDir('web1')).length).toBe(3);
  });

  test('does not fetch again what was pruned here while its host keeps it', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1}' });
    archiver.setUp();
    const old = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(2) });
    await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
    expect((await archiver.run(['pull', '--json'])).json.hosts[0].pruned).toEqual([old.name]);
    const again = await archiver.run(['pull', '--json']);
    expect(again.exitCode).toBe(0);
    expect(again.json.hosts[0]).toMatchObject({ pulled: [], pruned: [] });
    expect(archiver.stored().filter((file) => file.endsWith('.tar')).length).toBe(1);
  });

  test('copies the history of runs as it grows, and never removes it', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    archiver.setUp();
    const history = join(archiver.workDir('web1'), 'history');
    mkdirSync(history);
    for (const name of ['mediawiki-web1.jsonl', 'mediawiki-web2.jsonl', 'notes.txt'])
      writeFileSync(join(history, name), '{"run":1}\n');
    await archiver.run(['pull']);
    writeFileSync(join(history, 'mediawiki-web1.jsonl'), '{"run":1}\n{"run":2}\n');
    expect((await archiver.run(['pull'])).exitCode).toBe(0);
    expect(archiver.stored().filter((file) => file.includes('history'))).toEqual([
      'web1/history/mediawiki-web1.jsonl',
    ]);
    expect(readFileSync(join(archiver.root, 'web1/history/mediawiki-web1.jsonl'), 'utf8')).toContain(
      '"run":2',
    );
    expect(readdirSync(history).length).toBe(3);
  });

  test('sweeps what ended runs have left, here and at the source', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    archiver.setUp();
    const made = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(3) });
    await archiver.run(['pull']);
    const group = join(archiver.root, 'web1/mediawiki');
    const orphan = 'mediawiki-web1-20200101T000000Z.tar.sha256';
    const left = [join(archiver.workDir('web1'), `${made.name}.tar.sha256`), join(group, orphan)];
    const kept = join(archiver.workDir('web1'), orphan);
    for (const file of [...left, kept]) {
      writeFileSync(file, 'x');
      utimesSync(file, daysAgo(2), daysAgo(2));
    }
    writeFileSync(join(group, '.part-x.tar.12345678'), 'half');
    const [cut, stale] = [1, 4].map((days) => {
      const file = join(group, `.part-mediawiki-web1-2026010${days}T000000Z.tar.12345678`);
      writeFileSync(file, 'half');
      utimesSync(file, daysAgo(days), daysAgo(days));
      return file;
    }) as [string, string];
    left.push(stale, cut); // its host answers, and has it no more
    expect((await archiver.run(['pull'])).exitCode).toBe(0);
    expect(left.filter(existsSync)).toEqual([]);
    expect(existsSync(kept)).toBe(true); // never pulled: not ours to judge
    expect(readdirSync(group).length).toBe(3);
  });

  test('adopts a whole archive that an earlier run could not write down any more', async () => {
    archiver.configureHosts(['web1']);
    archiver.setUp();
    await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
    await execa('mkdir', [join(archiver.root, 'web1')]);
    await execa('cp', ['-a', archiver.workDir('web1'), join(archiver.root, 'web1/mediawiki')]);
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 0, json: { hosts: [{ pulled: [] }] } });
    expect(await archiver.query('SELECT state, verified FROM archives')).toBe('present|content');
    expect(await archiver.query('SELECT kind FROM events')).toBe('adopted');
  });

  test('refuses another archive of a name that is here, and keeps both', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    archiver.setUp();
    const time = daysAgo(1);
    const first = await makeArchive(archiver.workDir('web1'), { host: 'web1', time, content: 'one' });
    await archiver.run(['pull']);
    const second = await makeArchive(archiver.workDir('web1'), {
      host: 'web1',
      time,
      content: 'two, made anew',
    });
    const result = await archiver.run(['pull', '--json']);
    expect(result.exitCode).toBe(1);
    expect(result.json.hosts[0].error.code).toBe('store-exists');
    expect(existsSync(second.path)).toBe(true);
    const { stdout } = await execa('sha256sum', [join(archiver.root, `web1/mediawiki/${first.name}.tar`)]);
    expect(stdout).toContain(first.sha256);
  });

  test('fetches again what has vanished here', async () => {
    archiver.configureHosts(['web1']);
    archiver.setUp();
    const { name } = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull']);
    await execa('sh', ['-c', 'rm "$1"/web1/mediawiki/*', 'sh', archiver.root]);
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 3, json: { hosts: [{ pulled: [{ name }] }] } });
  });
});

describe('archiver list and --help', () => {
  test('shows a table for people', async () => {
    archiver.configureHosts(['web1']);
    archiver.setUp();
    expect((await archiver.run(['list'])).stdout).toBe('no archives');
    const { name } = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull']);
    const [head, row] = (await archiver.run(['list'])).stdout.split('\n');
    expect(head).toMatch(/^host +application +archive +time \(UTC\) +size +verified +age$/);
    expect(row).toMatch(new RegExp(`^web1 +mediawiki +${name} +\\S+ 12:00 +\\S+ kB +content +`));
  });

  test('every command has its help with an example', async () => {
    archiver.configureHosts([]);
    const { stdout } = await archiver.run(['--help']);
    for (const verb of ['init', 'pull', 'prune', 'list', 'restore', 'verify', 'check', 'rescan'])
      expect(stdout).toContain(`  ${verb} `);
    expect((await archiver.run(['prune', '--help'])).stdout).toContain('archiver prune --dry-run --explain');
  });
});
