import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { check } from '../../archiver/check.ts';
import type { HostConfiguration } from '../../archiver/configuration.ts';
import { pruneHost } from '../../archiver/prune.ts';
import { pullHosts } from '../../archiver/pull.ts';
import type { Run } from '../../archiver/run.ts';
import { type VerifyOptions, type VerifyReport, verifyHosts } from '../../archiver/verify.ts';
import { acquireLock } from '../../lib/lock.ts';
import { policySchema } from '../../lib/retention.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type MadeArchive, makeArchive } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
  archiver.configureHosts(['web1']);
});
afterEach(() => archiver.remove());

/** Fills the store, the oldest first. */
async function fill(count: number, content?: Buffer): Promise<MadeArchive[]> {
  const made: MadeArchive[] = [];
  for (let days = count; days > 0; days -= 1) {
    const options = { host: 'web1', time: daysAgo(days), ...(content && { content }) };
    made.push(await makeArchive(archiver.workDir('web1'), options));
  }
  await archiver.inProcess((run) => pullHosts(run, run.configuration.hosts, { prune: false, dryRun: false }));
  return made;
}

const lock = (): Disposable => acquireLock(join(archiver.directory, 'run'), 'store');
const verify = (options: Partial<VerifyOptions> = {}): Promise<VerifyReport> =>
  archiver.inProcess((run) =>
    verifyHosts(run, run.configuration.hosts, { olderThanMs: 0, lock, ...options }),
  );
const verifiedOn = (name: string, time: string): Promise<string> =>
  archiver.query(`UPDATE archives SET verified_at = '${time}' WHERE name = '${name}'`);
const host = (run: Run): HostConfiguration => run.configuration.hosts[0] as HostConfiguration;
const namesIn = ({ verified }: VerifyReport): string[] => verified.map(({ name }) => name);
const here = ({ name }: MadeArchive): string => join(archiver.root, `web1/mediawiki/${name}.tar`);

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8((bytes.at(700) as number) ^ 1, 700);
  writeFileSync(path, bytes);
}

describe('archiver verify', () => {
  test('begins with what nobody looked at for longest, and leaves what is too much for another time', async () => {
    const [first, second, third] = (await fill(3)) as [MadeArchive, MadeArchive, MadeArchive];
    await verifiedOn(first.name, '2026-03-01T00:00:00.000Z');
    await verifiedOn(second.name, '2026-01-01T00:00:00.000Z');
    await verifiedOn(third.name, '2026-02-01T00:00:00.000Z');
    const limited = await verify({ limitBytes: second.sizeBytes + third.sizeBytes + 10 });
    expect([namesIn(limited), limited.leftCount]).toEqual([[second.name, third.name], 1]);
    // one always, or a large one would never be read
    const one = await verify({ limitBytes: 1 });
    expect([namesIn(one), one.leftCount]).toEqual([[first.name], 2]);
    expect(await verify({ forMs: 0 })).toEqual({ verified: [], failed: [], leftCount: 3 });
    expect(namesIn(await verify({ olderThanMs: 86_400_000 }))).toEqual([]);
    // by a clock that was wrong
    await verifiedOn(third.name, '2099-01-01T00:00:00.000Z');
    expect(namesIn(await verify({ olderThanMs: 86_400_000 }))).toEqual([third.name]);
  });

  test('reads no faster than it may, and finds the same', async () => {
    const content = randomBytes(1_500_000);
    const [good, bad] = (await fill(2, content)) as [MadeArchive, MadeArchive];
    flip(here(bad));
    const started = performance.now();
    const report = await verify({ bytesPerSecond: 3_000_000 });
    expect(performance.now() - started).toBeGreaterThan(900);
    expect(report).toMatchObject({
      verified: [{ name: good.name, level: 'content' }],
      failed: [{ name: bad.name, code: 'checksum-mismatch' }],
    });
  });

  test('F37 moves what has gone bad to quarantine, deletes nothing, and waits with it for who changes the store', async () => {
    const [bad, good] = (await fill(2)) as [MadeArchive, MadeArchive];
    flip(here(bad));
    const pulling = lock();
    const verifying = verify();
    await sleep(300);
    expect(existsSync(here(bad))).toBe(true);
    pulling[Symbol.dispose]();
    const report = await verifying;
    expect(report).toMatchObject({ failed: [{ name: bad.name }], verified: [{ name: good.name }] });
    expect(readdirSync(join(archiver.root, '.quarantine/web1'))).toContain(`${bad.name}.tar`);
    expect(await archiver.query('SELECT state FROM archives ORDER BY name')).toBe('quarantined\npresent');
    expect((await verify()).verified).toHaveLength(1);
  });

  test('F46 is of the time when reading began: what was written to meanwhile is not proven by it', async () => {
    const [made] = (await fill(1, randomBytes(1_000_000))) as [MadeArchive];
    const path = join(archiver.root, 'web1/mediawiki', `${made.name}.tar`);
    const verifying = verify({ bytesPerSecond: 3_000_000 });
    await sleep(100);
    // the byte that is there already: what it says stays true
    writeFileSync(path, readFileSync(path).subarray(0, 1), { flag: 'r+' });
    expect((await verifying).verified).toHaveLength(1);
    const at = await archiver.query('SELECT verified_at FROM archives');
    expect(Date.parse(at)).toBeLessThan(statSync(path).ctimeMs);
  });

  test('F12 counts none that the disk can’t read, until it can', async () => {
    const [bad, good] = (await fill(2)) as [MadeArchive, MadeArchive];
    const fault = ['-e', 'trace=pread64', '-e', 'inject=pread64:error=EIO'];
    const wrap = ['strace', '-f', '-q', '-o', '/dev/null', '-P', here(bad), ...fault];
    const { exitCode, stderr } = await archiver.run(['verify'], { wrap });
    expect([exitCode, stderr]).toEqual([
      5,
      expect.stringMatching(new RegExp(`cannot verify "${bad.name}": input/output error`)),
    ]);
    const rows = () => archiver.query('SELECT name, state, verified, problem FROM archives ORDER BY name');
    expect(await rows()).toBe(`${bad.name}|present|content|io\n${good.name}|present|content|`);
    const { findings } = await archiver.inProcess(({ catalog, configuration, now }) =>
      check(catalog, configuration, configuration.hosts, [], now),
    );
    expect(findings).toMatchObject([{ check: 'unverified', subject: 'web1/mediawiki' }]);
    await verify();
    expect(await rows()).toBe(`${bad.name}|present|content|\n${good.name}|present|content|`);
  });

  test('F46 has nothing to say of what was pruned while it was at it', async () => {
    const [gone, good] = (await fill(2, randomBytes(1_500_000))) as [MadeArchive, MadeArchive];
    const verifying = verify({ bytesPerSecond: 3_000_000 });
    const policy = policySchema.parse({ last: 1 });
    const options = { dryRun: false, allowLarge: false, allowOdd: false };
    await archiver.inProcess((run) => pruneHost(run, host(run), policy, options));
    expect(existsSync(here(gone))).toBe(false);
    expect(await verifying).toMatchObject({ verified: [{ name: good.name }], failed: [], leftCount: 0 });
    expect(existsSync(join(archiver.root, '.quarantine'))).toBe(false);
  });

  test('F37 reads again what was fetched again while it waited, rather than put the good one away', async () => {
    const [archive] = (await fill(1)) as [MadeArchive];
    flip(here(archive));
    const waited = (): Disposable => {
      const held = lock();
      rmSync(here(archive));
      copyFileSync(archive.path, here(archive));
      return held;
    };
    expect(await verify({ lock: waited })).toMatchObject({ verified: [{ name: archive.name }], failed: [] });
    expect(existsSync(join(archiver.root, '.quarantine'))).toBe(false);
    expect(await archiver.query('SELECT state, verified FROM archives')).toBe('present|content');
  });

  test('F37 a bad one goes to quarantine with what is known of it by then, and stays where a pull is at its host', async () => {
    const [first, second] = (await fill(2)) as [MadeArchive, MadeArchive];
    flip(here(first));
    const meanwhile = (): Disposable => {
      using db = new DatabaseSync(join(archiver.root, '.catalog/catalog.sqlite'));
      db.exec('UPDATE archives SET source_removed = 1');
      return lock();
    };
    expect((await verify({ lock: meanwhile })).failed).toMatchObject([{ name: first.name }]);
    flip(here(second));
    const whilePulled = () => Object.assign(lock(), { isBusy: (of: string) => of === 'web1' });
    expect((await verify({ lock: whilePulled })).failed).toMatchObject([{ name: second.name }]);
    expect(existsSync(here(second))).toBe(true);
    expect(await archiver.query('SELECT state, problem, source_removed FROM archives ORDER BY name')).toBe(
      'quarantined|checksum-mismatch|1\npresent|checksum-mismatch|1',
    );
  });

  test('F17 a catalog that can’t be written says nothing of the archive, and is told', async () => {
    await fill(1);
    const report = await archiver.inProcess(async (run) => {
      const { catalog } = run;
      const trigger =
        "CREATE TRIGGER t BEFORE UPDATE ON archives BEGIN SELECT RAISE(ROLLBACK, 'no disk'); END";
      await archiver.query(trigger);
      let isBroken = true;
      const change: typeof catalog.change = async (...all) => {
        await catalog.change(...all).finally(async () => {
          if (isBroken) await archiver.query('DROP TRIGGER t');
          isBroken = false;
        });
      };
      const broken = { ...run, catalog: { ...catalog, change } };
      return verifyHosts(broken, run.configuration.hosts, { olderThanMs: 0, lock });
    });
    expect(report).toMatchObject({
      failed: [{ code: 'catalog', message: expect.stringContaining('no disk') }],
    });
    expect(await archiver.query('SELECT state, verified, problem FROM archives')).toBe('present|content|');
  });
});
