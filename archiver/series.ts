// The archives of one application of one host, as they came, and what its host says of the runs that made them.
import { groupName } from '../archive/name.ts';
import type { ArchiveRow, ArchiveState, RunRow } from './catalog/schema.ts';
import type { Run } from './run.ts';

export interface Series {
  host: string;
  /** `<application>[.<instance>]` */
  name: string;
  /** All that came and was good, oldest first, those that were pruned since among them. */
  archives: ArchiveRow[];
  /** What was found bad, oldest first. */
  quarantined: ArchiveRow[];
  /** The newest runs, oldest first, as the host tells them: it may lie. None where it keeps no history. */
  runs: RunRow[];
}

/** How many of the newest runs are looked at. */
const RUNS = 30;
const ALL: ArchiveState[] = ['present', 'removing', 'removed', 'quarantined'];

/**
 * Gathers the series of a host, of all hosts where none is given: those of which an archive came.
 * @throws catalog
 */
export async function loadSeries({ catalog }: Pick<Run, 'catalog'>, host?: string): Promise<Series[]> {
  const archives = Map.groupBy(await catalog.list(ALL, host), keyOf);
  const runs = Map.groupBy(await catalog.runs(RUNS, host), keyOf);
  return [...archives].map(([key, rows]) => {
    const [of, name] = key.split('/') as [string, string];
    return {
      host: of,
      name,
      archives: rows.filter(({ state }) => state !== 'quarantined'),
      quarantined: rows.filter(({ state }) => state === 'quarantined'),
      runs: runs.get(key) ?? [],
    };
  });
}

function keyOf({
  host,
  application,
  instance,
}: Pick<ArchiveRow, 'host' | 'application' | 'instance'>): string {
  return `${host}/${groupName(application, instance || undefined)}`;
}
