// What `--json` prints: one object, harmless on a terminal, of any length.
import { once } from 'node:events';

/** Prints JSON. What a terminal may take for a command is written as `\u…`, which means the same. */
export function printJson(value: unknown): void {
  process.stdout.write(`${harmless(JSON.stringify(value, null, 2))}\n`);
}

/** Prints one JSON object that ends in a list, piece by piece: the list may be longer than one wants to hold. */
export async function printJsonList(
  head: object,
  key: string,
  items: AsyncIterable<unknown> | Iterable<unknown>,
): Promise<void> {
  let text = `${JSON.stringify(head).slice(0, -1)},"${key}":[`;
  let separator = '\n';
  for await (const item of items) {
    text += `${separator}${harmless(JSON.stringify(item))}`;
    separator = ',\n';
    if (text.length < PIECE_CHARS) continue;
    const isFull = !process.stdout.write(text);
    // a reader that has gone away drains nothing
    if (isFull && process.stdout.writable)
      await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')]).catch(() => {});
    text = '';
  }
  process.stdout.write(`${text}\n]}\n`);
}

const PIECE_CHARS = 1 << 16;

function harmless(json: string): string {
  return json.replace(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
