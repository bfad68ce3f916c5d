// Where a set's configuration says so, all that a run tells goes to the system log in place of stderr, by the host's own `logger`:
// facility local0, as backup-my-bucket logged. A line goes by its stdin, never among its arguments.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cannot } from '../lib/errors.ts';
import { type LogLevel, setLogSink } from '../lib/log.ts';
import { findProgram, programEnvironment } from '../lib/program.ts';

/** Facility local0 (16), with the severity of each. */
const PRIORITY: Record<LogLevel, number> = { info: 16 * 8 + 6, warn: 16 * 8 + 4, error: 16 * 8 + 3 };

/**
 * @param tag what lines are found by
 * @param socket where the daemon listens
 * @returns dispose it when the run is over: then all lines are out, and stderr is used again
 * @throws io where lines could not be handed over
 */
export function openSystemLog(tag: string, socket: string): AsyncDisposable {
  const args = ['--tag', tag, '--prio-prefix', '--socket', socket, '--socket-errors=on', '--size', '4096'];
  const logger = spawn(findProgram(['logger'], 'bsdutils'), args, {
    env: programEnvironment(),
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  let failure: Error | undefined;
  const ended = once(logger, 'close').catch((error) => {
    failure = error;
    return [undefined];
  });
  logger.stdin.on('error', () => {}); // its end says why
  setLogSink((level, text) => {
    logger.stdin.write(`<${PRIORITY[level]}>${text}\n`);
  });
  return {
    async [Symbol.asyncDispose]() {
      setLogSink(undefined);
      logger.stdin.end();
      const [code] = await ended;
      if (code !== 0)
        throw cannot('io', 'write to the system log by', socket, failure ?? `logger: exit ${code}`);
    },
  };
}
