// The archives of one application of one host, as they came, and what its host says of the runs that made them.
import { groupName } from '../archive/name.ts';
import type { BriefRow } from './catalog/catalog.ts';
import type { ArchiveState, RunRow } from './catalog/schema.ts';
import type { HostConfiguration } from './configuration.ts';
import type { Run } from './run.ts';

export interface Series {
  host: string;
  /** `<application>[.<instance>]` */
  name: string;
  /** All that came and was good, oldest first, those that were pruned since among them. */
  archives: BriefRow[];
  /** What was found bad, oldest first. */
  quarantined: BriefRow[];
  /** The newest runs, oldest first, as the host tells them: it may lie. None where it keeps no history. */
  runs: RunRow[];
}

/** How many of the newest runs are looked at. */
const RUNS = 30;
/** A host's clock may be ahead by so much; a run of later than that would hide all that fail after it. */
const CLOCK_SLACK_MS = 3_600_000;
/** Under this name are the runs of commands that make no archive. */
const JOB = 'job';
const ALL: ArchiveState[] = ['present', 'removing', 'removed', 'quarantined'];

/**
 * Gathers the series of a host, of all hosts where none is given: those of which an archive came, and those of which
 * the host tells and none ever came.
 * @throws catalog
 */
export async function loadSeries(
  { catalog, now }: Pick<Run, 'catalog' | 'now'>,
  host?: string,
): Promise<Series[]> {
  const until = new Date(now.getTime() + CLOCK_SLACK_MS).toISOString();
  const runs = Map.groupBy(await catalog.runs(RUNS, { host, until }), keyOf);
  const all: Series[] = [];
  let current: Series | undefined;
  let before: BriefRow | undefined;
  // those of a series stand together
  for (const row of await catalog.brief(ALL, host)) {
    if (current === undefined || before === undefined || !isSameSeries(row, before)) {
      const name = groupName(row.application, row.instance || undefined);
      current = { host: row.host, name, archives: [], quarantined: [], runs: runs.get(keyOf(row)) ?? [] };
      runs.delete(keyOf(row));
      all.push(current);
    }
    (row.state === 'quarantined' ? current.quarantined : current.archives).push(row);
    before = row;
  }
  for (const told of runs.values()) {
    const { host: of, application, instance } = told[0] as RunRow;
    if (application === JOB) continue;
    const name = groupName(application, instance || undefined);
    all.push({ host: of, name, archives: [], quarantined: [], runs: told });
  }
  return all;
}

/** @returns whether a host's configuration has a series; an application stands for all its instances */
export function isWanted({ applications }: Pick<HostConfiguration, 'applications'>, name: string): boolean {
  return applications === undefined || [name, applicationOf(name)].some((one) => applications.includes(one));
}

/** @returns the application of a series' name */
export function applicationOf(name: string): string {
  return name.split('.')[0] as string;
}

function isSameSeries(a: BriefRow, b: BriefRow): boolean {
  return a.host === b.host && a.application === b.application && a.instance === b.instance;
}

function keyOf({ host, application, instance }: Pick<BriefRow, 'host' | 'application' | 'instance'>): string {
  return `${host}/${application}.${instance}`;
}
