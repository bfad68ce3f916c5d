// A chart of runs in text, as wide as the terminal: bars from zero, and a mark below each run that was not well.
import { type Bar, MARKS, topOf } from './chart.ts';

const HEIGHT = 8;
const EIGHTHS = ' ▁▂▃▄▅▆▇█';
/** A bar and the gap after it are at most so wide. */
const WIDEST = 4;
const AXIS = { corner: '└', line: '─', side: '│', tick: '┤' };
const ASCII: Record<string, string> = { '└': '+', '─': '-', '│': '|', '┤': '+', '×': 'x', '·': ',' };

/** @returns whether a terminal shows more than ASCII, by the locale */
export function isUtf8Locale(env: NodeJS.ProcessEnv = process.env): boolean {
  return /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');
}

/**
 * @param bars oldest first; of more than there is room for, the newest are shown
 * @param width in columns
 * @param format makes text of a value; `½` of the greatest is marked too
 * @returns lines
 */
export function plot(
  bars: readonly Bar[],
  {
    title,
    format,
    width,
    ascii,
  }: { title: string; format: (value: number) => string; width: number; ascii: boolean },
): string {
  const labels = (top: number): string[] => [format(top), format(top / 2)];
  const labelWidth = Math.max(...labels(topOf(bars)).map((label) => label.length));
  const room = Math.max(10, width - labelWidth - 2);
  const shown = bars.slice(-room);
  const step = Math.max(1, Math.min(WIDEST, Math.floor(room / shown.length)));
  const gap = step > 1 ? 1 : 0;
  const column = (char: string, between = ' '): string => char.repeat(step - gap) + between.repeat(gap);
  const top = topOf(shown);
  const [most, half] = labels(top) as [string, string];
  const lines = [title];
  for (let row = HEIGHT - 1; row >= 0; row -= 1) {
    const label = row === HEIGHT - 1 ? most : row === HEIGHT / 2 - 1 ? half : '';
    const cells = shown.map(({ value }) => column(cellOf(value, top, row, ascii)));
    lines.push(`${label.padStart(labelWidth)} ${label === '' ? AXIS.side : AXIS.tick}${cells.join('')}`);
  }
  const marks = shown.map((bar) => {
    const mark = markOf(bar);
    return mark === ' ' ? column(AXIS.line, AXIS.line) : mark + AXIS.line.repeat(step - 1);
  });
  lines.push(`${'0'.padStart(labelWidth)} ${AXIS.corner}${marks.join('')}`);
  const [first, last] = [shown[0], shown.at(-1)].map((bar) => bar?.startedAt.slice(0, 10) ?? '') as [
    string,
    string,
  ];
  const both = first.length + last.length + 2;
  const axisWidth = Math.max(shown.length * step, Math.min(both, room));
  const dates = axisWidth < both ? last : first + last.padStart(axisWidth - first.length);
  lines.push(' '.repeat(labelWidth + 2) + dates);
  const text = lines.map((line) => line.trimEnd()).join('\n');
  return ascii ? toAscii(text) : text;
}

/** @returns a text with this chart's characters, for terminals that have no others than ASCII */
export function toAscii(text: string): string {
  return text.replace(/[└─│┤×·]/g, (char) => ASCII[char] as string);
}

/** What is above zero is seen. */
function cellOf(value: number | null, top: number, row: number, ascii: boolean): string {
  if (value === null || value === 0) return ' ';
  const eighths = Math.max(1, Math.round((value / top) * HEIGHT * 8)) - row * 8;
  if (ascii) return eighths >= 4 || (row === 0 && eighths > 0) ? '#' : ' ';
  return EIGHTHS[Math.max(0, Math.min(8, eighths))] as string;
}

function markOf({ result }: Bar): string {
  return result === 'warnings' ? '!' : MARKS[result];
}
