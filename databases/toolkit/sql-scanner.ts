// Reads a SQL dump as it passes by and tells what is in it: which tables it creates, how many rows it inserts into
// each, and whether it ends as the client ends a whole dump. Made for mysqldump's and mariadb-dump's output: statements
// begin at the start of a line, strings are in single quotes with backslash or doubled quotes, routines stand between
// DELIMITER lines. Memory is that of one statement's head.

const NEWLINE = 10;
const QUOTE = 39;
const OPEN = 40;
const CLOSE = 41;
const SEMICOLON = 59;
const BACKSLASH = 92;
const BACKTICK = 96;

/** The head of an INSERT with a list of 4096 columns of 64 characters stays below this. */
const MAX_HEAD_BYTES = 1 << 20;
const TAIL_BYTES = 1024;
const TRAILER = '-- Dump completed';

type State = 'line' | 'skip' | 'head' | 'rows' | 'string';

export interface SqlScanner {
  scan(chunk: Buffer): void;
  /** Tables that the dump creates, with the rows it inserts into each. */
  readonly tables: Map<string, number>;
  readonly sizeBytes: number;
  /** @returns whether the last kilobyte has the trailer that clients write last */
  hasTrailer(): boolean;
}

export function scanSqlDump(): SqlScanner {
  const tables = new Map<string, number>();
  let state: State = 'line';
  let head: number[] = [];
  let inBackticks = false;
  let inRoutine = false;
  let table = '';
  let rows = 0;
  let depth = 0;
  let escaped = false;
  let sizeBytes = 0;
  let tail = Buffer.alloc(0);

  /** Looks at a whole line that is no INSERT. */
  function readLine(line: string): void {
    if (line.startsWith('DELIMITER ')) inRoutine = line.trim() !== 'DELIMITER ;';
    else if (!inRoutine && line.startsWith('CREATE TABLE ')) {
      const name = quotedName(line);
      if (name !== undefined && !tables.has(name)) tables.set(name, 0);
    }
  }

  /** Collects the head of a line until it is known what it is. @returns the next position */
  function readHead(chunk: Buffer, start: number): number {
    for (let i = start; i < chunk.length; i++) {
      const byte = chunk[i] as number;
      if (byte === NEWLINE && !inBackticks) {
        readLine(Buffer.from(head).toString('utf8'));
        state = 'line';
        return i + 1;
      }
      if (byte === BACKTICK) inBackticks = !inBackticks;
      if (head.length < MAX_HEAD_BYTES) head.push(byte);
      // ` VALUES` outside a name: rows follow
      if (byte === 83 && !inBackticks && !inRoutine && endsWithValues(head)) {
        const text = Buffer.from(head).toString('utf8');
        const name = /^(INSERT|REPLACE)\s/.test(text) ? quotedName(text) : undefined;
        if (name !== undefined) {
          table = name;
          rows = 0;
          depth = 0;
          state = 'rows';
          return i + 1;
        }
      }
    }
    return chunk.length;
  }

  function readRows(chunk: Buffer, start: number): number {
    for (let i = start; i < chunk.length; i++) {
      const byte = chunk[i] as number;
      if (byte === QUOTE) {
        state = 'string';
        return i + 1;
      }
      if (byte === OPEN) {
        if (depth === 0) rows += 1;
        depth += 1;
      } else if (byte === CLOSE) depth -= 1;
      else if (byte === SEMICOLON && depth === 0) {
        tables.set(table, (tables.get(table) ?? 0) + rows);
        state = 'skip';
        return i + 1;
      }
    }
    return chunk.length;
  }

  function readString(chunk: Buffer, start: number): number {
    let i = start;
    if (escaped) {
      escaped = false;
      i += 1;
    }
    for (; i < chunk.length; i++) {
      const byte = chunk[i];
      if (byte === QUOTE) {
        state = 'rows'; // a doubled quote begins the next string at once
        return i + 1;
      }
      if (byte === BACKSLASH) {
        i += 1;
        if (i === chunk.length) escaped = true;
      }
    }
    return chunk.length;
  }

  return {
    tables,
    get sizeBytes() {
      return sizeBytes;
    },
    scan(chunk) {
      sizeBytes += chunk.length;
      tail =
        chunk.length >= TAIL_BYTES
          ? Buffer.from(chunk.subarray(-TAIL_BYTES))
          : Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES);
      let i = 0;
      while (i < chunk.length) {
        switch (state) {
          case 'line': {
            const byte = chunk[i] as number;
            // C(REATE), D(ELIMITER), I(NSERT), R(EPLACE): nothing else matters
            const matters = byte === 67 || byte === 68 || byte === 73 || byte === 82;
            head = [];
            inBackticks = false;
            state = matters ? 'head' : 'skip';
            break;
          }
          case 'skip': {
            const end = chunk.indexOf(NEWLINE, i);
            i = end === -1 ? chunk.length : end + 1;
            if (end !== -1) state = 'line';
            break;
          }
          case 'head':
            i = readHead(chunk, i);
            break;
          case 'rows':
            i = readRows(chunk, i);
            break;
          case 'string':
            i = readString(chunk, i);
            break;
        }
      }
    },
    hasTrailer() {
      return tail.includes(TRAILER);
    },
  };
}

function endsWithValues(head: readonly number[]): boolean {
  const word = ' VALUES';
  const start = head.length - word.length;
  if (start < 0) return false;
  for (let i = 0; i < word.length; i++) if (head[start + i] !== word.charCodeAt(i)) return false;
  return true;
}

/** @returns the first name in backticks, with doubled backticks made single */
function quotedName(text: string): string | undefined {
  return /`((?:[^`]|``)+)`/.exec(text)?.[1]?.replaceAll('``', '`');
}
