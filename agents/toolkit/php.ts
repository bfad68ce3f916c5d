// Reads configuration that is PHP, as far as it is written literally. Nothing is ever evaluated: a value that depends on
// anything but literals, earlier literal variables and the file's own directory is `notLiteral`.
import { dirname } from 'node:path';
import { Engine } from 'php-parser';
import { cannot } from '../../lib/errors.ts';
import type { HostView } from './host-view.ts';
import { notLiteral } from './sources.ts';

export const NOT_LITERAL = Symbol('not literal');
export type PhpValue = string | number | boolean | null | typeof NOT_LITERAL;

interface Node {
  kind: string;
  [key: string]: unknown;
}

/**
 * Reads the variables that a PHP file assigns; the last assignment of each wins. One inside a condition, a loop or a
 * function makes the variable not literal, since whether it happens is not known.
 * @param source the file's text
 * @param file its path: `__DIR__` and messages
 * @param known variables that have a value before
 * @throws application-configuration where it is no valid PHP
 */
export function readPhpVariables(
  source: string,
  file: string,
  known: Record<string, PhpValue> = {},
): Map<string, PhpValue> {
  const variables = new Map<string, PhpValue>(Object.entries(known));
  let program: Node;
  try {
    const engine = new Engine({ parser: { suppressErrors: false }, ast: { withPositions: false } });
    program = engine.parseCode(source, file) as unknown as Node;
  } catch (error) {
    // the parser's own message shows the text it stumbled over, which may be a password
    const line = /on line \d+/.exec(String(error))?.[0] ?? 'in some line';
    throw cannot(
      'application-configuration',
      'read configuration',
      file,
      `PHP cannot parse it: error ${line}`,
    );
  }

  /** Everything below a statement that may or may not run. */
  const spoil = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const item of value) spoil(item);
      return;
    }
    if (value === null || typeof value !== 'object') return;
    const node = value as Node;
    if (node.kind === 'assign') {
      for (const name of assignedNames(node.left as Node)) variables.set(name, NOT_LITERAL);
    }
    for (const child of Object.values(node)) spoil(child);
  };

  const evaluate = (node: Node): PhpValue => {
    switch (node.kind) {
      case 'string':
      case 'nowdoc':
        return String(node.value);
      case 'number':
        // octal, hexadecimal and huge numbers aren't what they look like
        return /^(0|[1-9]\d{0,14})$/.test(String(node.value)) ? Number(node.value) : NOT_LITERAL;
      case 'boolean':
        return Boolean(node.value);
      case 'nullkeyword':
        return null;
      case 'magic':
        return node.value === '__DIR__' ? dirname(file) : node.value === '__FILE__' ? file : NOT_LITERAL;
      case 'variable':
        return variables.get(String(node.name)) ?? NOT_LITERAL;
      case 'encapsedpart':
        return evaluate(node.expression as Node);
      case 'encapsed':
        return (node.value as Node[]).map(evaluate).reduce(join, '');
      case 'bin':
        return node.type === '.'
          ? join(evaluate(node.left as Node), evaluate(node.right as Node))
          : NOT_LITERAL;
      default:
        return NOT_LITERAL;
    }
  };

  for (const statement of program.children as Node[]) {
    const expression = statement.expression as Node | undefined;
    const left = expression?.kind === 'assign' ? (expression.left as Node) : undefined;
    const name = left?.kind === 'variable' ? left.name : undefined;
    if (expression === undefined || typeof name !== 'string') {
      spoil(statement);
      continue;
    }
    spoil(expression.right); // `$a = $b = …`
    variables.set(name, expression.operator === '=' ? evaluate(expression.right as Node) : NOT_LITERAL);
  }
  return variables;
}

/** @returns the variables that an assignment to this changes; `$a['b'] = …` changes `$a` in a way that isn't followed */
function assignedNames(left: Node): string[] {
  if (left.kind === 'variable') return typeof left.name === 'string' ? [left.name] : [];
  if (left.kind === 'list' || left.kind === 'array') {
    return (left.items as (Node | null)[]).flatMap((item) =>
      item === null ? [] : assignedNames((item.kind === 'entry' ? item.value : item) as Node),
    );
  }
  const { what, offset } = left as { what?: Node; offset?: Node };
  if (what?.name === 'GLOBALS' && offset?.kind === 'string') return [String(offset.value)];
  return what === undefined ? [] : assignedNames(what);
}

/** The variables of an application's configuration file. */
export interface PhpSettings {
  /** @returns undefined where the file doesn't set it */
  value(name: string): PhpValue | undefined;
  /**
   * @returns the value as text; undefined where it isn't set or empty
   * @throws application-configuration where it is not written literally
   */
  literal(name: string): string | undefined;
}

/** Reads a configuration file, see {@link readPhpVariables}. */
export function readPhpSettings(view: HostView, file: string, known?: Record<string, PhpValue>): PhpSettings {
  const variables = readPhpVariables(view.readText(file), file, known);
  const value = (name: string): PhpValue | undefined => variables.get(name);
  return {
    value,
    literal(name) {
      const found = value(name);
      if (found === NOT_LITERAL) throw notLiteral(file, `$${name}`);
      return found === undefined || found === null || found === '' ? undefined : String(found);
    },
  };
}

function join(left: PhpValue, right: PhpValue): PhpValue {
  return left === NOT_LITERAL || right === NOT_LITERAL ? NOT_LITERAL : `${left ?? ''}${right ?? ''}`;
}
