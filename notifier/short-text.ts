// A message for services that take only so much text: what is known of it first, then as much of the log's end as there
// is room for, and last the message's id, by which a repetition can be told.
import { formatTable } from '../lib/table.ts';
import { gapOf, type Message } from './message.ts';

/** What a service counts. */
export type Unit = 'characters' | 'bytes';

const CUT = '…';
/** Less of a log tells nobody anything. */
const SHORTEST_LOG = 100;

/**
 * @param longest how much the service takes
 * @returns the message without its subject, never longer than that
 */
export function shortTextOf(message: Message, longest: number, unit: Unit = 'characters'): string {
  const id = `\n\nMessage ${message.id}`;
  const facts = message.facts.map(({ label, value }) => `${label}: ${value}`);
  if (message.table !== undefined) facts.unshift(formatTable(message.table.head, message.table.rows));
  const start = cutEnd(facts.join('\n'), longest - id.length, unit);
  const room = longest - sizeOf(start, unit) - id.length - 2;
  const log = logOf(message);
  const end = log === '' || room < SHORTEST_LOG ? '' : `\n\n${cutStart(log, room, unit)}`;
  return `${start}${end}${id}`;
}

function logOf({ log }: Message): string {
  if (log === undefined) return '';
  const gap = log.leftOutBytes > 0 ? `\n${gapOf(log)}\n` : '';
  return `${log.head}${gap}${log.tail}`.trim();
}

/** @returns the text's beginning, with a mark where it was cut; no character is cut in two */
export function cutEnd(text: string, longest: number, unit: Unit = 'characters'): string {
  if (sizeOf(text, unit) <= longest) return text;
  const room = longest - sizeOf(CUT, unit);
  if (unit === 'characters') return `${text.slice(0, room).replace(/[\ud800-\udbff]$/, '')}${CUT}`;
  const bytes = Buffer.from(text);
  let end = room;
  while (((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  return `${bytes.subarray(0, end)}${CUT}`;
}

/** @returns the text's end, from the beginning of a line where there is one, with a mark where it was cut */
function cutStart(text: string, longest: number, unit: Unit): string {
  if (sizeOf(text, unit) <= longest) return text;
  const room = longest - sizeOf(CUT, unit);
  const end =
    unit === 'characters' ? text.slice(-room).replace(/^[\udc00-\udfff]/, '') : lastBytes(text, room);
  const line = end.indexOf('\n') + 1;
  return `${CUT}${end.slice(line < end.length / 2 ? line : 0)}`;
}

function lastBytes(text: string, count: number): string {
  const bytes = Buffer.from(text);
  let start = bytes.length - count;
  while (((bytes[start] as number) & 0xc0) === 0x80) start += 1;
  return bytes.subarray(start).toString();
}

function sizeOf(text: string, unit: Unit): number {
  return unit === 'characters' ? text.length : Buffer.byteLength(text);
}
