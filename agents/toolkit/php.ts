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
 * function makes the variable not literal, since whether it happens is not known. What isn't set here may still be set by
 * a file that this one includes, by `extract` or by `$$name`.
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

  /** What other code may change at any time: `$b = &$a` changes both. */
  const shared = new Set<string>();
  const set = (name: string, value: PhpValue): void => {
    variables.set(name, shared.has(name) ? NOT_LITERAL : value);
  };

  /** All that a piece of code may change, whether it runs or not. */
  const spoil = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const item of value) spoil(item);
      return;
    }
    if (value === null || typeof value !== 'object') return;
    const node = value as Node;
    const targets = targetsOf(node);
    const names = targets.flatMap(assignedNames);
    if (SHARING.has(node.kind)) for (const name of names) shared.add(name);
    const isAny = CHANGES_ANY.has(calledName(node)) || targets.some(isVariableVariable);
    for (const name of isAny ? [...names, ...variables.keys()] : names) set(name, NOT_LITERAL);
    for (const child of Object.values(node)) spoil(child);
  };

  const evaluate = (node: Node): PhpValue => {
    switch (node.kind) {
      case 'nowdoc':
        return /\n[ \t]+\w+$/.test(String(node.raw)) ? NOT_LITERAL : String(node.value);
      case 'string':
        return BYTE_ESCAPE.test(String(node.raw)) ? NOT_LITERAL : String(node.value);
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
        // of a heredoc the parser reads `\"` and indented ends otherwise than PHP
        if (node.type === 'heredoc' && /\\"|\n[ \t]+\w+$/.test(String(node.raw))) return NOT_LITERAL;
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
    if (statement.kind === 'return') break;
    const expression = statement.expression as Node | undefined;
    const left = expression?.kind === 'assign' ? (expression.left as Node) : undefined;
    const name = left?.kind === 'variable' ? left.name : undefined;
    if (expression === undefined || typeof name !== 'string') {
      spoil(statement);
      continue;
    }
    spoil(expression.right); // `$a = $b = …`
    set(name, expression.operator === '=' ? evaluate(expression.right as Node) : NOT_LITERAL);
  }
  return variables;
}

/** `\xe9` and `\377` are bytes, which need not be characters. */
const BYTE_ESCAPE = /\\([2-7][0-7]{2}|x[89a-f])/i;

/** After these, two names are one variable, or a variable is also that of other code. */
const SHARING = new Set(['assignref', 'static', 'global', 'closure', 'entry', 'foreach']);
/** Functions that change variables without naming them. */
const CHANGES_ANY = new Set(['eval', 'extract']);
/** Functions of configuration files that only read; any other may take a variable by reference. */
const READERS = new Set([
  ...[
    'define',
    'ini_set',
    'putenv',
    'getenv',
    'file_exists',
    'is_dir',
    'is_file',
    'is_readable',
    'dirname',
    'basename',
  ],
  ...[
    'realpath',
    'set_include_path',
    'implode',
    'explode',
    'sprintf',
    'in_array',
    'array_merge',
    'count',
    'strlen',
  ],
  ...['substr', 'strpos', 'str_replace', 'strtolower', 'trim', 'intval', 'wfloadextension', 'wfloadskin'],
]);

function calledName(node: Node): string {
  const name = node.kind === 'call' ? (node.what as Node).name : node.kind;
  return typeof name === 'string' ? name.toLowerCase().replace(/^\\/, '') : '';
}

/** @returns what a node itself changes, not what is below it does */
function targetsOf(node: Node): Node[] {
  const all = (value: unknown): Node[] => (value as (Node | null)[]).filter((item) => item !== null);
  switch (node.kind) {
    case 'assign':
      return [node.left as Node];
    case 'assignref':
      return [node.left as Node, node.right as Node];
    case 'pre':
    case 'post':
      return [node.what as Node];
    case 'static':
      return all(node.variables).map(({ variable }) => variable as Node);
    case 'global':
      return all(node.items);
    case 'unset':
      return all(node.variables);
    case 'foreach':
      return all([node.key, node.value]);
    case 'catch':
      return all([node.variable]);
    case 'closure':
      return all(node.uses).filter(({ byref }) => byref === true);
    case 'entry':
      return node.byRef === true ? [node.value as Node] : [];
    case 'call':
    case 'new':
      return READERS.has(calledName(node)) ? [] : all(node.arguments);
    default:
      return [];
  }
}

/** `$$name`, which can be any */
function isVariableVariable({ kind, name }: Node): boolean {
  return kind === 'variable' && typeof name !== 'string';
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
  // PHP's texts of true and false
  const text = (value: PhpValue): string =>
    value === true ? '1' : value === false ? '' : String(value ?? '');
  return left === NOT_LITERAL || right === NOT_LITERAL ? NOT_LITERAL : text(left) + text(right);
}
