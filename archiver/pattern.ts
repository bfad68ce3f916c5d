// What a person looks for among files and tables: a name, or a pattern with `*` and `?` (no `/` in them) and `**`
// (anything). With a `/` in front it is the whole path at the host; else a name, or the end of a path.
import { latin1Path } from '../archive/listing.ts';

export interface Pattern {
  /** @param path absolute at the host, latin1 */
  matches(path: string): boolean;
  /** Bytes that are in the last name of every path that matches; undefined: none are. */
  literal: Buffer | undefined;
}

export function compilePattern(text: string): Pattern {
  const parts = latin1Path(text).split(/(\*\*|\*|\?)/);
  const source = parts
    .map((part) => {
      if (part === '**') return '.*';
      if (part === '*') return '[^/]*';
      // one character, of one byte or more
      if (part === '?') return '[^/\\x80-\\xbf][\\x80-\\xbf]*';
      return RegExp.escape(part);
    })
    .join('');
  const expression = new RegExp(`${text.startsWith('/') ? '^' : '(?:^|/)'}${source}$`, 's');
  const lastName = text.slice(text.lastIndexOf('/') + 1);
  const literals = latin1Path(lastName.slice(lastName.lastIndexOf('**') + 1)).split(/[*?]+/);
  const longest = literals.reduce((best, one) => (one.length > best.length ? one : best), '');
  return {
    matches: (path) => expression.test(path),
    literal: longest === '' ? undefined : Buffer.from(longest, 'latin1'),
  };
}

/** Like {@link compilePattern}, also for all that is below a directory. */
export function compileSelection(text: string): Pattern['matches'] {
  const plain = text.replace(/\/+$/, '');
  const [itself, below] = [compilePattern(plain), compilePattern(`${plain}/**`)];
  return (path) => itself.matches(path) || below.matches(path);
}
