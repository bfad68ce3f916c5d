// A host that was broken into offers archive upon archive, each whole and true to its checksum, and means to push out
// those that were made before.
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { pullHosts } from '../../archiver/pull.ts';
import type { HostReport } from '../../archiver/pull-host.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type MadeArchive, makeArchive, stamp } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
});
afterEach(() => archiver.remove());

const pull = (prune = true): Promise<HostReport[]> =>
  archiver.inProcess((run) => pullHosts(run, run.configuration.hosts, { prune, dryRun: false }));

const namesOf = (host: string): string[] =>
  archiver
    .stored()
    .filter((file) => file.startsWith(`${host}/`) && file.endsWith('.tar'))
    .map((file) => file.replace(/^.*\/|\.tar$/g, ''));

/** Offers an archive's bytes under the name of another time. */
function offerAgain({ path }: MadeArchive, host: string, time: Date): string {
  const name = `mediawiki-${host}-${stamp(time)}`;
  const target = join(archiver.workDir(host), `${name}.tar`);
  copyFileSync(path, target);
  const sha256 = createHash('sha256').update(readFileSync(target)).digest('hex');
  writeFileSync(`${target}.sha256`, `${sha256}  ${name}.tar\n`);
  return name;
}

it('F39 pulls nothing more of a host that has reached its quota, says so once, and serves the others', async () => {
  const first = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(3) });
  await makeArchive(archiver.workDir('web2'), { host: 'web2', time: daysAgo(1) });
  archiver.configureHosts(['web1', 'web2'], { host: `quota: ${(first.sizeBytes * 2.5) / 1000}kB` });
  for (let minute = 0; minute < 30; minute += 1)
    offerAgain(first, 'web1', new Date(daysAgo(2).getTime() + minute * 60_000));
  const [flooded, other] = await pull();
  expect(flooded).toMatchObject({ result: 'failed', failureCount: 1, error: { code: 'quota' } });
  expect(flooded?.error?.message).toMatch(/web1 has .* kB here of .* kB/);
  expect(namesOf('web1')).toHaveLength(2);
  expect(namesOf('web1')[0]).toBe(first.name);
  expect(other).toMatchObject({ result: 'ok', pulled: [{}] });

  // bad ones are kept for somebody to look at: they count
  await archiver.query("UPDATE archives SET state = 'quarantined' WHERE host = 'web1'");
  expect((await pull())[0]?.failures.at(-1)?.code).toBe('quota');
});
