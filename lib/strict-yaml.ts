// YAML and JSON that people write, read strictly: what is no YAML (or JSON), given twice, misspelt or of another kind is one error that
// names file, line and key. No text of the file is quoted: it may hold secrets.
import { isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { z } from 'zod';
import { cannot, type GarnerError } from './errors.ts';
import { escapeControls } from './text.ts';

/** What every reader of a configuration has an error for. */
export interface ReadOptions<T> {
  /** Where the text is from, for messages. */
  file: string;
  schema: z.ZodType<T>;
  /** Where its keys are described. */
  hint: string;
}

/**
 * Reads a YAML text.
 * @throws configuration, naming file, line and key
 */
export function parseYaml<T>(text: string, { file, schema, hint }: ReadOptions<T>): T {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const refuse = (offset: number, problem: string): GarnerError =>
    cannot('configuration', 'use', file, `line ${lines.linePos(offset).line}: ${problem}`, { hint });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw refuse(problem.pos[0], YAML_PROBLEMS[problem.code] ?? 'it is no YAML');
  if (!isMap(document.contents)) throw refuse(0, 'it is no list of keys and values');
  visit(document, {
    Pair(_, { key }) {
      // what reads objects later on leaves out a key of this name
      if (!isScalar(key) || key.value === '__proto__')
        throw refuse(isNode(key) ? (key.range?.[0] ?? 0) : 0, 'a key is no plain word');
    },
    Alias(_, { range }) {
      throw refuse(range?.[0] ?? 0, 'it has an alias (*name)');
    },
  });
  const result = schema.safeParse(document.toJS(), { error: explain });
  if (result.success) return result.data;
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const path = [...issue.path, ...unknown];
  const key = path.map(String).join('.');
  throw refuse(
    offsetOf(document.contents, path),
    `${key === '' ? '' : `${escapeControls(key)}: `}${issue.message}`,
  );
}

/**
 * Reads a JSON text.
 * @throws configuration, naming file, line and key
 */
export function parseJson<T>(text: string, options: ReadOptions<T>): T {
  const end = endOfJson(text);
  if (end !== undefined) {
    const early = end === text.length;
    const read = text.slice(0, end);
    const line = (early ? read.trimEnd() : read).split('\n').length;
    const what = early ? 'it ends too early: a bracket or brace is missing' : 'it is no JSON';
    throw cannot('configuration', 'use', options.file, `line ${line}: ${what}`, {
      hint: 'a comma too many, or a missing comma, quote, bracket or brace, is there or just before',
    });
  }
  // JSON is YAML, but for tabs; none can be inside a string
  return parseYaml(text.replaceAll('\t', ' '), options);
}

const YAML_PROBLEMS: Partial<Record<string, string>> = {
  DUPLICATE_KEY: 'a key is given twice',
  TAB_AS_INDENT: 'it is indented by a tab',
  MULTIPLE_DOCS: 'a second document begins',
};

/** Where a schema has no words of its own. */
function explain(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'unrecognized_keys') return 'unknown key';
  if (issue.code === 'invalid_key') return issue.issues[0]?.message;
  if (issue.code === 'invalid_type')
    return issue.input === undefined ? 'it is missing' : `it must be ${issue.expected}`;
  return undefined;
}

/** @returns where the deepest thing on the path begins: of one that is missing, what it is missing in */
function offsetOf(contents: unknown, path: readonly PropertyKey[]): number {
  let at: unknown = contents;
  let offset = 0;
  for (const step of path) {
    const found = isMap(at)
      ? at.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
      : undefined;
    if (found !== undefined) {
      offset = (isNode(found.key) && found.key.range?.[0]) || offset;
      at = found.value;
      continue;
    }
    at = (at as { get?: (step: unknown, keep: boolean) => unknown } | null)?.get?.(step, true);
    if (!isNode(at)) break;
    offset = at.range?.[0] ?? offset;
  }
  return offset;
}

const MAX_DEPTH = 100;
const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\0-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const OTHER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/**
 * V8 does not always say where a text stops being JSON, and quotes it.
 * @returns the offset of the first character that no JSON could go on with (the text's length where more has to come);
 *   undefined where it is JSON
 */
function endOfJson(text: string): number | undefined {
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const taken = pattern.exec(text)?.[0];
    at += taken?.length ?? 0;
    return taken !== undefined;
  };
  const next = (char: string): boolean => {
    take(SPACE);
    if (text[at] !== char) return false;
    at += 1;
    return true;
  };
  const list = (close: string, item: () => boolean): boolean => {
    if (next(close)) return true;
    do if (!item()) return false;
    while (next(','));
    return next(close);
  };
  const value = (depth: number): boolean => {
    if (depth > MAX_DEPTH) return false;
    if (next('[')) return list(']', () => value(depth + 1));
    if (next('{')) {
      return list('}', () => {
        take(SPACE);
        return take(STRING) && next(':') && value(depth + 1);
      });
    }
    return take(STRING) || take(OTHER);
  };
  const whole = value(0);
  take(SPACE);
  return whole && at === text.length ? undefined : at;
}
