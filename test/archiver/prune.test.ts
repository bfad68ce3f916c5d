import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pullHosts } from '../../archiver/pull.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type MadeArchive, makeArchive } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
});
afterEach(() => archiver.remove());

/** Fills the store of web1 with archives of the last days, newest last, pulled but not pruned. */
async function fill(count: number): Promise<MadeArchive[]> {
  const made: MadeArchive[] = [];
  for (let days = count; days > 0; days -= 1)
    made.push(await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) }));
  await archiver.inProcess((run) => pullHosts(run, run.configuration.hosts, { prune: false, dryRun: false }));
  return made;
}

const stored = (): string[] =>
  archiver
    .stored()
    .filter((file) => file.endsWith('.tar'))
    .map((file) => file.replace(/^.*\/|\.tar$/g, ''));

describe('archiver prune', () => {
  test('deletes what retention lets go with its checksum files, notes the intent before and the result after', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 4}' });
    const [oldest, ...others] = await fill(5);
    const result = await archiver.run(['prune', '--json']);
    expect(result).toMatchObject({
      exitCode: 0,
      json: {
        result: 'ok',
        dryRun: false,
        remove: [{ name: oldest?.name, reason: 'newer ones fill every rule' }],
      },
    });
    expect(result.json.keep[0]).toEqual({ name: others.at(-1)?.name, reasons: ['last 1'] });
    expect(stored()).toEqual(others.map(({ name }) => name));
    expect(archiver.stored().filter((file) => file.includes(oldest?.name as string))).toEqual([]);
    expect(await archiver.query("SELECT kind FROM events WHERE kind LIKE 'prune%' ORDER BY id")).toBe(
      'prune-intended\npruned',
    );
    expect(await archiver.query("SELECT name FROM archives WHERE state = 'removed'")).toBe(oldest?.name);
    expect((await archiver.run(['prune', '--json'])).json.remove).toEqual([]);
  });

  test('deletes nothing on a dry run, and explains what it would do', async () => {
    archiver.configureHosts(['web1'], { retention: '{daily: 1, minimum: 2}' });
    const made = await fill(3);
    // it got its name and was written down within a millisecond
    const { ctimeMs } = statSync(join(archiver.root, `web1/mediawiki/${made[1]?.name}.tar`));
    const at = new Date(ctimeMs).toISOString();
    await archiver.query(`UPDATE archives SET verified_at = '${at}' WHERE name = '${made[1]?.name}'`);
    const result = await archiver.run(['prune', '--dry-run', '--explain']);
    expect(result.exitCode).toBe(0);
    const day = daysAgo(1).toISOString().slice(0, 10);
    expect(result.stdout.trim().split('\n')).toEqual([
      `keep    ${made[2]?.name}  It stays: the newest of ${day}.`,
      `keep    ${made[1]?.name}  It stays: among the newest good ones, which always stay (minimum).`,
      `remove  ${made[0]?.name}  It goes: newer ones fill every rule.`,
    ]);
    expect(stored().length).toBe(3);
    expect(await archiver.query("SELECT count(*) FROM events WHERE kind LIKE 'prune%'")).toBe('0');
  });

  test('F45 needs a flag where much would go at once', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 2}' });
    await fill(5);
    const refused = await archiver.run(['prune', '--json']);
    expect(refused).toMatchObject({
      exitCode: 1,
      json: { result: 'failed', remove: [], refused: [{ subject: 'web1/mediawiki', code: 'prune-refused' }] },
    });
    expect(refused.json.keep.length).toBe(5);
    expect(stored().length).toBe(5);
    expect((await archiver.run(['prune', '--allow-large'])).exitCode).toBe(0);
    expect(stored().length).toBe(2);
  });

  test('F45 refuses a policy without floor, naming file and key', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1, minimum: 0}' });
    const result = await archiver.run(['prune']);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain('archiver.yaml": retention.minimum: it must be at least 1');
  });

  test('prunes nothing without a policy', async () => {
    archiver.configureHosts(['web1']);
    await fill(2);
    expect((await archiver.run(['prune'])).exitCode).toBe(2);
    expect((await archiver.run(['pull'])).exitCode).toBe(0);
    expect(stored().length).toBe(2);
  });

  test('runs after a pull, for the hosts that were pulled', async () => {
    archiver.configureHosts(['web1', 'web2'], { retention: '{last: 1}' });
    await makeArchive(archiver.workDir('web2'), { host: 'web2', time: daysAgo(2) });
    await makeArchive(archiver.workDir('web2'), { host: 'web2', time: daysAgo(1) });
    const [old] = await fill(2);
    const result = await archiver.run(['pull', 'web1', '--json']);
    expect(result.json.hosts.map(({ pruned }: { pruned: string[] }) => pruned)).toEqual([[old?.name]]);
    expect(stored().filter((name) => name.includes('web2')).length).toBe(2);
  });

  test('after a pull, says that much would go and leaves it: the archives are safe', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1}' });
    await fill(4);
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 3, json: { result: 'warnings', hosts: [{ pruned: [] }] } });
    expect(result.stderr).toContain('3 of 4 archives would go at once');
    expect(stored().length).toBe(4);
  });

  test('settles what a run has left that was ended while it deleted', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 3}' });
    const made = await fill(4);
    const [gone, there] = made as [MadeArchive, MadeArchive];
    await archiver.query(
      `UPDATE archives SET state = 'removing' WHERE name IN ('${gone.name}', '${there.name}')`,
    );
    rmSync(join(archiver.root, `web1/mediawiki/${gone.name}.tar`));
    expect((await archiver.run(['prune'])).exitCode).toBe(0);
    expect(await archiver.query('SELECT state FROM archives ORDER BY name')).toBe(
      'removed\npresent\npresent\npresent',
    );
    expect(existsSync(join(archiver.root, `web1/mediawiki/${gone.name}.tar.sha256`))).toBe(false);
  });
});
