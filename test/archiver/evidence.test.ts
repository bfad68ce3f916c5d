// Retention that weighs evidence: what holds a prune, and what doesn't.
import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HistoryRun } from '../../archive/history.ts';
import type { HostConfiguration } from '../../archiver/configuration.ts';
import { type PruneOptions, type PruneReport, pruneHost } from '../../archiver/prune.ts';
import { pullHosts } from '../../archiver/pull.ts';
import type { HostReport } from '../../archiver/pull-host.ts';
import type { Policy } from '../../lib/retention.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
beforeEach(async () => {
  archiver = testArchiver();
  archiver.setUp();
  archiver.configureHosts(['web1'], { retention: '{last: 2}' });
  for (let days = 4; days > 1; days -= 1)
    await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) });
});
afterEach(() => archiver.remove());

const pull = async (): Promise<HostReport> => {
  const [report] = await archiver.inProcess((run) =>
    pullHosts(run, run.configuration.hosts, { prune: true, dryRun: false }),
  );
  return report as HostReport;
};
const prune = (options: Partial<PruneOptions> = {}): Promise<PruneReport> =>
  archiver.inProcess((run) => {
    const [host] = run.configuration.hosts as [HostConfiguration];
    const all = { dryRun: false, allowLarge: false, allowOdd: false, ...options };
    return pruneHost(run, host, run.configuration.retention as Policy, all);
  });

/** The host's notify writes down a run. */
function ran(result: HistoryRun['result'], days: number): void {
  const time = daysAgo(days).toISOString();
  const about = {
    name: 'wiki',
    startedAt: time,
    finishedAt: time,
    exitCode: 1,
    summary: 'no \u001b[2Jspace',
  };
  const directory = join(archiver.workDir('web1'), 'history');
  mkdirSync(directory, { recursive: true });
  appendFileSync(
    join(directory, 'mediawiki-web1.jsonl'),
    `${JSON.stringify({ ...about, result, archives: [] })}\n`,
  );
}

describe('retention weighs evidence', () => {
  test('nothing goes while the host says that backups fail; a good one, or the administrator, ends it', async () => {
    ran('ok', 3);
    ran('failed', 1);
    expect(await pull()).toMatchObject({ result: 'ok', pruned: [], pulled: [{}, {}, {}] });
    const held = await prune();
    expect(held).toMatchObject({
      remove: [],
      refused: [],
      held: [{ subject: 'web1/mediawiki', findings: [{ check: 'failing' }] }],
    });
    expect(held.keep.at(-1)?.reasons).toEqual(['backups fail at the host, else: newer ones fill every rule']);
    expect((await prune({ allowOdd: true, dryRun: true })).remove).toHaveLength(1);
    ran('ok', 0);
    expect((await pull()).pruned).toHaveLength(1);
  });

  test('nothing goes while the newest is a tenth of what is usual, and pull and prune say so as a warning', async () => {
    rmSync(archiver.workDir('web1'), { recursive: true });
    const content = randomBytes(300_000);
    for (let days = 4; days > 1; days -= 1)
      await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days), content });
    expect((await pull()).pruned).toHaveLength(1);
    await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
    const report = await pull();
    expect(report).toMatchObject({ result: 'warnings', pruned: [] });
    expect(report.warnings.join()).toMatch(
      /not pruned: the newest archive is much smaller than usual: .* has 5\.6 kB, usual is 30\d\.\d kB/,
    );
    // as a pull does
    const { exitCode, json } = await archiver.run(['prune', '--json']);
    expect({ exitCode, json }).toMatchObject({ exitCode: 3, json: { result: 'warnings', remove: [] } });
  });

  test('what waits for nothing is not held: no word of it where nothing would go', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 10}' });
    ran('failed', 1);
    await pull();
    expect(await prune()).toMatchObject({ remove: [], held: [] });
  });
});
