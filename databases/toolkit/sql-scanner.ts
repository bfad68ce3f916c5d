// Reads a SQL dump as it passes by and tells what is in it: which tables it creates, how many rows it inserts into
// each, which views, routines, triggers and events, and whether it ends as the client ends a whole dump. Made for mysqldump's and mariadb-dump's output: statements
// begin at the start of a line, strings are in single quotes with backslash or doubled quotes, routines stand between
// DELIMITER lines. Memory is that of one statement's head.

const NEWLINE = 10;
const QUOTE = 39;
const OPEN = 40;
const CLOSE = 41;
const SEMICOLON = 59;
const BACKSLASH = 92;
const BACKTICK = 96;
const SLASH = 47;

/** The head of an INSERT with a list of 4096 columns of 64 characters stays below this. */
const MAX_HEAD_BYTES = 1 << 20;
const TAIL_BYTES = 1024;
/** At the start of a line; what clients write after it are comments and settings. */
const TRAILER = /\n-- Dump completed(?: on [\d: -]+)?(?:\n(?:--.*|\/\*.*\*\/;)?)*$/;

/** An object besides tables, in quotes of either sql_mode; a trigger stands as its author wrote it. */
const OBJECT =
  /^(?:CREATE |\/\*!\d+ CREATE\*\/ ).*?\b(TRIGGER|EVENT|PROCEDURE|FUNCTION|PACKAGE BODY|PACKAGE|SEQUENCE)\b(?: IF NOT EXISTS)?(?: ([`"])((?:(?!\2).|\2\2)+)\2)?/;
const VIEW = /^\/\*!50001 VIEW (`)((?:[^`]|``)+)`/;

type State = 'line' | 'skip' | 'head' | 'rows' | 'string';

export interface SqlScanner {
  scan(chunk: Buffer): void;
  /** Tables that the dump creates, with the rows it inserts into each. */
  readonly tables: Map<string, number>;
  /** By kind, as `view` or `package body`; a trigger's name is empty where it is not in quotes. */
  readonly objects: Map<string, string[]>;
  readonly sizeBytes: number;
  /** The longest statement that inserts rows: a server has to take it as one packet. */
  readonly longestInsertBytes: number;
  /** @returns whether it ends with the trailer that clients write last */
  hasTrailer(): boolean;
}

export function scanSqlDump(): SqlScanner {
  const tables = new Map<string, number>();
  const objects = new Map<string, string[]>();
  let state: State = 'line';
  let head: number[] = [];
  let inBackticks = false;
  let inRoutine = false;
  let table = '';
  let rows = 0;
  let depth = 0;
  let escaped = false;
  let sizeBytes = 0;
  let chunkStart = 0;
  let insertStart = 0;
  let longestInsertBytes = 0;
  let tail = Buffer.alloc(0);

  /** Looks at a whole line that is no INSERT. */
  function readLine(line: string): void {
    if (line.startsWith('DELIMITER ')) inRoutine = line.trim() !== 'DELIMITER ;';
    const view = VIEW.exec(line);
    const [, kind, quote = '', name = ''] =
      view === null ? (OBJECT.exec(line) ?? []) : ['', 'VIEW', ...view.slice(1)];
    if (kind !== undefined) {
      const names = objects.get(kind.toLowerCase()) ?? [];
      objects.set(kind.toLowerCase(), [...names, name.replaceAll(quote + quote, quote)]);
    } else if (!inRoutine && line.startsWith('CREATE TABLE ')) {
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
      // a name may have a line break; what routines and views are made of may have an odd backtick
      if (byte === BACKTICK) inBackticks = !inBackticks && !inRoutine && mayNameTable(head);
      if (head.length < MAX_HEAD_BYTES) head.push(byte);
      // ` VALUES` outside a name: rows follow
      if (byte === 83 && !inBackticks && !inRoutine && endsWithValues(head)) {
        const text = Buffer.from(head).toString('utf8');
        const name = /^(INSERT|REPLACE)\s/.test(text) ? quotedName(text) : undefined;
        if (name !== undefined) {
          insertStart = chunkStart + i - head.length;
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
        longestInsertBytes = Math.max(longestInsertBytes, chunkStart + i - insertStart);
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
    objects,
    get longestInsertBytes() {
      return longestInsertBytes;
    },
    get sizeBytes() {
      return sizeBytes;
    },
    scan(chunk) {
      chunkStart = sizeBytes;
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
            // C(REATE), D(ELIMITER), I(NSERT), R(EPLACE), /*! CREATE*/: nothing else matters
            const matters = byte === 67 || byte === 68 || byte === 73 || byte === 82 || byte === SLASH;
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
      return TRAILER.test(tail.toString('latin1'));
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

const ALTER = '/*!40000 ALTER TABLE ';

/** @returns whether names in this line are to be followed over its end */
function mayNameTable(head: readonly number[]): boolean {
  return head[0] !== SLASH || String.fromCharCode(...head.slice(0, ALTER.length)) === ALTER;
}

/** @returns the first name in backticks, with doubled backticks made single */
function quotedName(text: string): string | undefined {
  return /`((?:[^`]|``)+)`/.exec(text)?.[1]?.replaceAll('``', '`');
}
