// Where nobody could be told, the system log says so: there is hardly a host whose log nobody reads.
import { causeText } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import { redact } from '../lib/redact.ts';
import { writeSystemLog } from './syslog.ts';

const LIMIT_MS = 5000;

/** Writes one line. Never throws: that it can't be written is a warning. */
export async function logLost(line: string, socket: string): Promise<void> {
  try {
    await writeSystemLog(redact(line), { priority: 'daemon.err', socket }, AbortSignal.timeout(LIMIT_MS));
  } catch (error) {
    warn(`${causeText(error)}`);
  }
}
