// A line that moves on a terminal; silence elsewhere, where only the log's plain lines are wanted.
import { setBeforeLogLine, writeStderr } from './log.ts';
import { formatDuration, formatSize } from './text.ts';

const EVERY_MS = 200;

export interface Progress {
  /** @param bytes how many more bytes were handled */
  add(bytes: number): void;
  done(): void;
}

/**
 * Starts a progress line.
 * @param label what is being worked on
 * @param totalBytes how much there is in all, where known: adds a percentage and the time left
 */
export function startProgress(label: string, totalBytes?: number): Progress {
  if (!process.stderr.isTTY) return { add() {}, done() {} };
  const started = Date.now();
  let bytes = 0;
  let shownAt = 0;
  const wipe = (): void => {
    if (shownAt > 0) writeStderr('\r\x1b[K');
  };
  setBeforeLogLine(wipe);
  return {
    add(more) {
      bytes += more;
      const now = Date.now();
      if (now - shownAt < EVERY_MS) return;
      shownAt = now;
      const elapsedMs = Math.max(now - started, 1);
      const rate = `${formatSize((bytes / elapsedMs) * 1000)}/s`;
      let left = '';
      if (totalBytes !== undefined && totalBytes > 0 && bytes > 0) {
        const part = Math.min(bytes / totalBytes, 1);
        left = `, ${Math.floor(part * 100)} %, ${formatDuration((elapsedMs * (1 - part)) / part)} left`;
      }
      writeStderr(`\r\x1b[K${label}: ${formatSize(bytes)}, ${rate}${left}`);
    },
    done() {
      wipe();
      setBeforeLogLine(() => {});
    },
  };
}
