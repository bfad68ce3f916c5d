// Reads Java's properties files as Java does, and writes them: escapes, continued lines, three kinds of separators, the last value wins.

const ESCAPES: Record<string, string> = { t: '\t', n: '\n', r: '\r', f: '\f' };

/** One line that ends in an odd number of backslashes goes on in the next, without that one's indentation. */
function* logicalLines(source: string): Generator<string> {
  const begun: string[] = [];
  for (const natural of source.split(/\r\n|\r|\n/)) {
    const line = natural.replace(/^[ \t\f]+/, '');
    if (begun.length === 0 && (line === '' || /^[#!]/.test(line))) continue;
    let backslashes = 0;
    while (line.at(-1 - backslashes) === '\\') backslashes += 1;
    const goesOn = backslashes % 2 === 1;
    begun.push(goesOn ? line.slice(0, -1) : line);
    if (!goesOn) yield begun.splice(0).join('');
  }
  if (begun.length > 0) yield begun.join('');
}

function unescaped(text: string): string {
  return text.replace(/\\(?:u([0-9A-Fa-f]{4})|(.))/gs, (_, code: string | undefined, char: string) =>
    code === undefined ? (ESCAPES[char] ?? char) : String.fromCharCode(Number.parseInt(code, 16)),
  );
}

/**
 * @param source the file's text
 * @returns the values by key
 */
export function parseJavaProperties(source: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of logicalLines(source.replace(/^\uFEFF/, ''))) {
    // the key ends at the first separator that is not escaped
    const [whole, key = ''] = /^((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*/s.exec(line) ?? [''];
    values.set(unescaped(key), unescaped(line.slice(whole.length)));
  }
  return values;
}

/** @returns the text of a properties file, which Java reads as the same values whatever they hold */
export function formatJavaProperties(values: ReadonlyMap<string, string>): string {
  const escaped = (text: string): string =>
    text
      .replace(/[\\:=#! ]/g, '\\$&')
      .replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return [...values].map(([key, value]) => `${escaped(key)}=${escaped(value)}\n`).join('');
}
