// Text for people: sizes, durations, times, and foreign text made safe to print.

/**
 * Control characters, line and paragraph separators, what turns the direction of writing, what nobody sees (joiners and
 * blanks of no width, tags), and halves of characters.
 */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/**
 * Makes foreign text safe for one line of a terminal, a log or a mail header.
 * @param text anything; a newline in it becomes `\n`, an escape `\x1b`
 */
export function escapeControls(text: string): string {
  return text.replace(UNSAFE, (char) => {
    if (char === '\n') return '\\n';
    if (char === '\r') return '\\r';
    if (char === '\t') return '\\t';
    const code = char.codePointAt(0) as number;
    const hex = code.toString(16);
    if (code > 0xffff) return `\\u{${hex}}`;
    return code < 0x100 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`;
  });
}

/** Like {@link escapeControls}, but keeps the line breaks and tabs of a longer text. */
export function escapeControlsInLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.replace(/\r$/, '').split('\t').map(escapeControls).join('\t'))
    .join('\n');
}

/** @returns the text as one word of a shell command that people may copy; in quotes where it needs them */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** @returns a size for people, in powers of 1000: `0 B`, `12.3 kB`, `1.5 GB` */
export function formatSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
}

const SIZE_UNITS: Record<string, number> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

/**
 * Reads a size as {@link formatSize} writes it: `500kB`, `1.5 GB`.
 * @returns whole bytes, or undefined where the text is no size
 */
export function parseSize(text: string): number | undefined {
  const [, count, unit] = /^(\d+(?:\.\d+)?) ?([kMGT]?B)$/.exec(text) ?? [];
  if (count === undefined) return undefined;
  const bytes = Math.round(Number(count) * (SIZE_UNITS[unit as string] as number));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** @param time ISO 8601, UTC. @returns `2026-11-21 02:15` */
export function formatMinute(time: string): string {
  return time.slice(0, 16).replace('T', ' ');
}

/** @returns a duration for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h` */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

const DURATION_UNITS: Record<string, number> = {
  ms: 1,
  s: 1000,
  min: 60_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 365 * 86_400_000,
};

/**
 * Reads a duration as settings write it: `90s`, `15m`, `6h`, `1d`, `2w`, `1y`, or a sum such as `1d12h`.
 * @returns milliseconds, or undefined where the text is no duration
 */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(ms|min|[smhdwy]))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|min|[smhdwy])/g)) {
    total += Number(count) * (DURATION_UNITS[unit as string] as number);
  }
  return Number.isSafeInteger(total) ? total : undefined;
}

/** @returns `1 file`, `2 files` */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
