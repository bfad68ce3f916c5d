// Copies at further places are as good as somebody has found them there, and are read again as what lies here is.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { pullHosts } from '../../archiver/pull.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
let group: string;
beforeEach(async () => {
  archiver = testArchiver();
  group = join(archiver.directory, 'copies/web1/mediawiki');
  archiver.configureHosts(['web1'], {
    top: `push: {usb: {to: "file://${archiver.directory}/copies", retention: {last: 2}}}\n`,
  });
  archiver.setUp();
  for (const days of [4, 3]) await deliver(days);
  await archiver.runHere(['push', '--init']);
});
afterEach(() => archiver.remove());

async function deliver(days: number): Promise<string> {
  const { name } = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) });
  await archiver.inProcess((run) => pullHosts(run, run.configuration.hosts, { prune: false, dryRun: false }));
  return name;
}

const tars = (): string[] => readdirSync(group).filter((name) => name.endsWith('.tar'));

it('F37 a copy that has gone bad at a further place is found there, counts for nothing and is told until it is gone', async () => {
  expect(await archiver.query('SELECT count(*) FROM copies WHERE problem IS NULL')).toBe('2');
  const bad = tars().at(-1) as string;
  const bytes = readFileSync(join(group, bad));
  bytes.writeUInt8((bytes.at(700) as number) ^ 1, 700);
  writeFileSync(join(group, bad), bytes);
  await expect(
    execa('sha256sum', ['--check', '--status', `${bad}.sha256`], { cwd: group }),
  ).rejects.toThrow();

  const found = await archiver.runHere(['verify', '--json']);
  expect(found.exitCode).toBe(5);
  const { verified, failed } = JSON.parse(found.stdout);
  expect(failed).toMatchObject([{ name: bad.slice(0, -4), code: 'checksum-mismatch' }]);
  expect(verified).toHaveLength(3);

  // with it as the newest, `last: 2` would let a good one go
  await deliver(2);
  const told = { code: 'hosts-failed', message: expect.stringContaining('its copy there was found bad') };
  await expect(archiver.runHere(['push'])).rejects.toMatchObject(told);
  expect(tars()).toHaveLength(3);

  for (const suffix of ['', '.sha256', '.sha1']) rmSync(join(group, bad + suffix));
  expect((await archiver.runHere(['verify'])).exitCode).toBe(0);
  expect((await archiver.runHere(['push'])).exitCode).toBe(0);
  await execa('sh', ['-c', 'sha256sum --check --strict --status *.sha256'], { cwd: group });
  expect(tars()).toHaveLength(2);
  expect(await archiver.query(`SELECT count(*) FROM copies`)).toBe('2');
});

it('F37 a copy that has gone bad pushes out none that is good, also where its archive is not kept here any more', async () => {
  const [good, bad] = tars() as [string, string];
  await archiver.query(`UPDATE copies SET problem = 'checksum-mismatch' WHERE name = '${bad.slice(0, -4)}'`);
  await archiver.query(`UPDATE archives SET state = 'removed' WHERE name = '${bad.slice(0, -4)}'`);
  rmSync(join(archiver.root, 'web1/mediawiki', bad));
  const next = await deliver(2);
  expect((await archiver.runHere(['push'])).exitCode).toBe(0);
  expect(tars()).toEqual(expect.arrayContaining([good, `${next}.tar`]));
});

it('what was not read for longest is read first, wherever it lies; a place that is not there is a failure', async () => {
  await archiver.query("UPDATE copies SET read_at = '2026-01-01T00:00:00.000Z'");
  const { stdout } = await archiver.runHere(['verify', '--limit', '1kB', '--json']);
  expect(JSON.parse(stdout).verified).toMatchObject([{ level: 'digest' }]);
  rmSync(join(archiver.directory, 'copies/.garner-archive'));
  const gone = await archiver.runHere(['verify', '--json']);
  expect(gone.exitCode).toBe(5);
  expect(JSON.parse(gone.stdout).failed).toMatchObject([{ name: 'usb', code: 'archive-store' }]);
});

it.each(['verify', 'push'])(
  'copies that somebody has removed at a further place are told by %s, once',
  async (verb) => {
    const taken = tars();
    for (const name of taken)
      for (const suffix of ['', '.sha256', '.sha1']) rmSync(join(group, name + suffix));
    const { stdout, exitCode } = await archiver
      .runHere([verb, '--json'])
      .catch((error) => ({ stdout: String(error.message), exitCode: error.exitCode }));
    expect(exitCode).not.toBe(0);
    expect(stdout).toContain(taken[0]?.slice(0, -4)); // an error tells the first
    expect(stdout).toContain('is not there any more');
    expect((await archiver.runHere(['push'])).exitCode).toBe(0);
    expect(tars()).toEqual(taken);
    expect((await archiver.runHere(['verify'])).exitCode).toBe(0);
  },
);
