// What GNU tar says while it reads files: escaped names, then a reason. What isn't understood is never passed over.
import { randomUUID } from 'node:crypto';

/** How many files a warning or an error names. */
const NAMED_FILES = 20;
/** What tar said, sorted by what it means. */
export interface TarReport {
  changed: string[];
  vanished: string[];
  shrunk: string[];
  /** What isn't one of these, and so fails the run. */
  other: string[];
  writtenBytes: number;
  /** A path that is not there: what tar says of it comes after all that it says of the paths before. */
  mark: string;
  onMark: () => void;
}

export function newTarReport(): TarReport {
  return {
    ...{ changed: [], vanished: [], shrunk: [], other: [], writtenBytes: 0 },
    ...{ mark: `.garner-${randomUUID()}`, onMark: () => {} },
  };
}

/** File names are escaped by tar and stand before the message, so that only the end of a line tells. */
export function readTarLine(report: TarReport, line: string): void {
  const text = line.replace(/^(\S*\/)?tar: /, '');
  const total = /^Total bytes written: (\d+)/.exec(text);
  if (total !== null) report.writtenBytes = Number(total[1]);
  else if (text.startsWith(report.mark)) report.onMark();
  else if (text.endsWith(': file changed as we read it')) report.changed.push(text);
  else if (/: (File removed before we read it|Cannot (stat|open): No such file or directory)$/.test(text))
    report.vanished.push(text);
  else if (/: File shrank by \d+ bytes?; padding with zeros$/.test(text)) report.shrunk.push(text);
  else if (text !== '' && text !== 'Exiting with failure status due to previous errors')
    report.other.push(text);
}

const ESCAPES: Record<string, string> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** @returns the path, latin1, that a message of tar begins with */
export function pathOf(message: string): string {
  return withoutReason(message).replace(/\\([0-7]{3}|.)/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (ESCAPES[code] ?? code),
  );
}

const withoutReason = (message: string): string =>
  message.replace(/: (file changed|File |Cannot )[^:]*(: [^:]*)?$/, '');

/** @returns the files that messages are about, for people */
export const names = (messages: readonly string[]): string => {
  const shown = messages.slice(0, NAMED_FILES).map(withoutReason);
  return `${shown.join(', ')}${messages.length > NAMED_FILES ? ` and ${messages.length - NAMED_FILES} more` : ''}`;
};
