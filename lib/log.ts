// What a run tells while it works: on stderr, `(HH:MM:SS) text`, or JSON lines with GARNER_LOG=json.
// Secrets are redacted and control characters escaped here, so that no caller can forget it.
import { writeSync } from 'node:fs';
import { redact } from './redact.ts';
import { escapeControls } from './text.ts';

export type LogLevel = 'info' | 'warn' | 'error';

let format: 'text' | 'json' = 'text';
let isQuiet = false;
let sink: ((level: LogLevel, text: string) => void) | undefined;
let beforeLine: () => void = () => {};

/** @param next `json` for machines (setting GARNER_LOG), `text` for people */
export function setLogFormat(next: 'text' | 'json'): void {
  format = next;
}

/** @param quiet whether only warnings and errors are told */
export function setQuiet(quiet: boolean): void {
  isQuiet = quiet;
}

/** @param next gets each line in place of stderr, safe to print and without secrets; undefined: stderr again */
export function setLogSink(next: ((level: LogLevel, text: string) => void) | undefined): void {
  sink = next;
}

/** @param hook runs before each line, so that a progress line can be wiped first */
export function setBeforeLogLine(hook: () => void): void {
  beforeLine = hook;
}

const RETRY_MS = 5;
const GIVE_UP_MS = 10_000;
const clock = new Int32Array(new SharedArrayBuffer(4));

/** Writes to stderr at once; a reader that has gone away, or sleeps for long, doesn't end or stop a backup. */
export function writeStderr(text: string): void {
  let rest = Buffer.from(text);
  for (let waitedMs = 0; rest.length > 0 && waitedMs < GIVE_UP_MS; ) {
    try {
      rest = rest.subarray(writeSync(2, rest));
    } catch (error) {
      // EPIPE or a closed terminal: the run itself is not affected
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      // a full pipe that Node has made non-blocking
      Atomics.wait(clock, 0, 0, RETRY_MS);
      waitedMs += RETRY_MS;
    }
  }
}

export function log(level: LogLevel, text: string, fields: Record<string, unknown> = {}): void {
  if (isQuiet && level === 'info') return;
  beforeLine();
  if (sink !== undefined) {
    sink(level, redact(escapeControls(text)));
    return;
  }
  const now = new Date();
  if (format === 'json') {
    writeStderr(`${redact(JSON.stringify({ time: now.toISOString(), level, message: text, ...fields }))}\n`);
    return;
  }
  const mark = level === 'info' ? '' : level === 'warn' ? 'warning: ' : 'error: ';
  writeStderr(`(${now.toTimeString().slice(0, 8)}) ${mark}${redact(escapeControls(text))}\n`);
}

export const info = (text: string, fields?: Record<string, unknown>): void => log('info', text, fields);
export const warn = (text: string, fields?: Record<string, unknown>): void => log('warn', text, fields);
