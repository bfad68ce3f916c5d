// A line that moves on a terminal; silence elsewhere, where only the log's plain lines are wanted.
import { setBeforeLogLine, writeStderr } from './log.ts';
import { formatDuration, formatSize } from './text.ts';

const EVERY_MS = 200;

export interface Progress {
  /** @param more how many more bytes were handled, or what else is counted */
  add(more: number): void;
  done(): void;
}

/**
 * Starts a progress line.
 * @param label what is being worked on
 * @param total how much there is in all, where known: adds a percentage and the time left
 * @param format how an amount is shown; of bytes where nothing is said
 */
export function startProgress(label: string, total?: number, format = formatSize): Progress {
  if (!process.stderr.isTTY) return { add() {}, done() {} };
  const started = Date.now();
  let amount = 0;
  let shownAt = 0;
  const wipe = (): void => {
    if (shownAt > 0) writeStderr('\r\x1b[K');
  };
  setBeforeLogLine(wipe);
  return {
    add(more) {
      amount += more;
      const now = Date.now();
      if (now - shownAt < EVERY_MS) return;
      shownAt = now;
      const elapsedMs = Math.max(now - started, 1);
      const rate = `${format(Math.round((amount / elapsedMs) * 1000))}/s`;
      let left = '';
      if (total !== undefined && total > 0 && amount > 0) {
        const part = Math.min(amount / total, 1);
        left = `, ${Math.floor(part * 100)} %, ${formatDuration((elapsedMs * (1 - part)) / part)} left`;
      }
      writeStderr(`\r\x1b[K${label}: ${format(amount)}, ${rate}${left}`);
    },
    done() {
      wipe();
      setBeforeLogLine(() => {});
    },
  };
}
