// A pull has the store to itself, but not for long where some hosts keep it waiting, for whatever they are up to: then it
// lets other runs at all others. Who was asked, and what came of it, is written down as it does.
import { asGarnerError } from '../lib/errors.ts';
import { info, warn } from '../lib/log.ts';
import { plural } from '../lib/text.ts';
import type { HostConfiguration } from './configuration.ts';
import type { HostReport } from './pull-host.ts';
import type { Run } from './run.ts';

export interface HandOver {
  /** Takes note of a host that is done with. */
  done(report: HostReport): Promise<void>;
  /** Writes down what isn't yet. @throws catalog */
  end(): Promise<void>;
  /** Ends it without a word more. */
  stop(): void;
}

/**
 * @param hosts that the pull is at
 * @param afterMs how long it has the store to itself
 */
export function startHandOver(
  { catalog, lock }: Pick<Run, 'catalog' | 'lock'>,
  hosts: readonly HostConfiguration[],
  afterMs: number,
): HandOver {
  const unfinished = new Set(hosts.map(({ name }) => name));
  let unwritten: HostReport[] = [];
  let isOver = false;
  const write = async (): Promise<void> => {
    const reports = unwritten;
    unwritten = [];
    const at = new Date().toISOString();
    await catalog.notePolls(
      reports.map(({ host, result, error, nextKeys }) => ({ host, at, result, error, nextKeys })),
    );
  };
  const handOver = async (): Promise<void> => {
    await write();
    if (unfinished.size === 0) return;
    lock?.narrow([...unfinished]);
    isOver = true;
    info(`goes on with ${plural(unfinished.size, 'host')}; other runs may begin`);
  };
  const timer = setTimeout(() => {
    handOver().catch((error) => warn(`other runs have to wait: ${asGarnerError(error).message}`));
  }, afterMs);
  return {
    async done(report) {
      unfinished.delete(report.host);
      unwritten.push(report);
      if (!isOver) return;
      await write();
      lock?.leave(report.host);
    },
    async end() {
      clearTimeout(timer);
      await write();
    },
    stop: () => clearTimeout(timer),
  };
}
