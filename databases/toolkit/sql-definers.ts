// Makes a dump fit for an account and a client that can do less than those it was made by: definers that the account may
// not set become the account itself, and a first line that the client doesn't know is left out. Only lines that begin
// as clients begin them are touched: in rows, a line break is written as \n, so no value can look like one.

const NEWLINE = 10;
const SLASH = 47;
const C = 67;
/** Names of accounts are at most 80 and 255 characters long. */
const MAX_HEAD_BYTES = 4096;

const NAME = '(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")';
const DEFINER = new RegExp(
  `^((?:/\\*!\\d+ CREATE\\*/ /\\*!\\d+ |/\\*!\\d+ |CREATE |CREATE OR REPLACE )DEFINER=)(${NAME}(?:@${NAME})?)`,
);
const SANDBOX = /^\/\*M?!999999\\- /;

export interface DumpFilter {
  /** Whether the account may set definers. */
  keepsDefiners: boolean;
  /** The account, as `user@host`: what is its own stays. */
  account: string;
  keepsSandbox: boolean;
  /** Hears of each definer that was replaced. */
  onDefiner(definer: string): void;
}

const unquoted = (definer: string): string =>
  definer.replace(/`((?:[^`]|``)*)`|"((?:[^"]|"")*)"/g, (_, ticks?: string, quotes?: string) =>
    ticks === undefined ? (quotes ?? '').replaceAll('""', '"') : ticks.replaceAll('``', '`'),
  );

/** @returns a function that takes the dump chunk by chunk, and gives what is to be restored; undefined ends it */
export function filterDump({
  keepsDefiners,
  account,
  keepsSandbox,
  onDefiner,
}: DumpFilter): (chunk: Buffer | undefined) => Buffer[] {
  /** The start of a line that may have to change; undefined: in the middle of one that stays. */
  let head: Buffer | undefined = Buffer.alloc(0);

  function change(line: Buffer): Buffer {
    const text = line.toString('utf8');
    if (!keepsSandbox && SANDBOX.test(text)) return Buffer.alloc(0);
    const [whole, before = '', definer = ''] = keepsDefiners ? [] : (DEFINER.exec(text) ?? []);
    if (whole === undefined || unquoted(definer) === account) return line;
    onDefiner(unquoted(definer));
    return Buffer.concat([
      Buffer.from(`${before}CURRENT_USER`),
      line.subarray(Buffer.byteLength(whole)), // byte for byte: the rest may not be UTF-8
    ]);
  }

  return (chunk) => {
    if (chunk === undefined) return head === undefined ? [] : [change(head)];
    const out: Buffer[] = [];
    let from = 0; // what is before it is given out or held
    let at = 0;
    while (at < chunk.length) {
      if (head === undefined) {
        const end = chunk.indexOf(NEWLINE, at);
        if (end === -1) break;
        at = end + 1;
        head = Buffer.alloc(0);
        continue;
      }
      const first = head[0] ?? chunk[at];
      if (first !== SLASH && first !== C) {
        head = undefined;
        continue;
      }
      out.push(chunk.subarray(from, at));
      const newline = chunk.indexOf(NEWLINE, at);
      const end = newline === -1 ? chunk.length : newline + 1;
      const line = Buffer.concat([head, chunk.subarray(at, end)]);
      from = end;
      at = end;
      if (newline === -1 && line.length < MAX_HEAD_BYTES) head = line;
      else {
        out.push(change(line));
        head = newline === -1 ? undefined : Buffer.alloc(0);
      }
    }
    out.push(chunk.subarray(from));
    return out.filter((part) => part.length > 0);
  };
}
