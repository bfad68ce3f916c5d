// How a message looks in a chat: a title with a sign that is seen at a glance, and the rest as a block of code, in which no
// markup is any.
import { type Message, subjectOf } from './message.ts';

const SIGNS: Record<Message['result'], string> = {
  OK: '✅',
  WARNINGS: '⚠️',
  FAILED: '❌',
  LOCKED: '🔒',
  MISSED: '⏰',
};

/** @returns `❌ FAILED mediawiki on web1: no space left`, of less than 200 characters (UTF-16 units) */
export function titleOf(message: Message): string {
  return `${SIGNS[message.result]} ${subjectOf(message).replace(/^\[garner\] /, '')}`;
}

/** @returns the text as a block of code of Markdown; what would end the block is taken apart: there is no escape for it */
export function inCodeBlock(text: string): string {
  return `\`\`\`\n${text.replaceAll('``', '`\u200b`')}\n\`\`\``;
}

/**
 * Makes something of a text that is no larger than a service allows, whatever its escapes make of the text.
 * @param make makes it of a text of at most so many units
 * @param measure its size, in the service's unit
 */
export function within<T>(limit: number, make: (longest: number) => T, measure: (made: T) => number): T {
  let longest = limit;
  let made = make(longest);
  while (measure(made) > limit && longest > 100) {
    longest = Math.floor(longest * 0.8);
    made = make(longest);
  }
  return made;
}
