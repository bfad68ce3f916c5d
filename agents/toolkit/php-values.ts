// What an expression of PHP comes to, where it is made of literals alone and of names whose values are known.
import { dirname, isAbsolute } from 'node:path';
import { calledName, type Node } from './php-effects.ts';

export const NOT_LITERAL = Symbol('not literal');
export type PhpValue = string | number | boolean | null | PhpArray | typeof NOT_LITERAL;
/** Keys as texts: PHP makes one of 1 and '1' too. A key that is set under a condition only has a value that is not literal. */
export type PhpArray = ReadonlyMap<string, PhpValue>;

/** What an expression may refer to. */
export interface PhpScope {
  /** By their names without `$`; static properties as `Class::$name`. */
  variables: Map<string, PhpValue>;
  constants: Map<string, PhpValue>;
  /** The file that it stands in. */
  file: string;
  /** What `getenv` gives, where garner runs in the application's own environment. */
  environment: Record<string, string | undefined> | undefined;
}

export const isArray = (value: PhpValue | undefined): value is PhpArray => value instanceof Map;

/** @returns a key as PHP makes one of it; undefined where that is not known */
export function keyOf(value: PhpValue): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  return /^-\d/.test(String(value)) ? undefined : String(value); // what comes after it depends on PHP's version
}

/** `\xe9` and `\377` are bytes, which need not be characters. */
const BYTE_ESCAPE = /\\([2-7][0-7]{2}|x[89a-f])/i;

export function evaluate(node: Node, scope: PhpScope): PhpValue {
  const part = (each: unknown): PhpValue => evaluate(each as Node, scope);
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
      return node.value === '__DIR__'
        ? dirname(scope.file)
        : node.value === '__FILE__'
          ? scope.file
          : NOT_LITERAL;
    case 'variable':
      return scope.variables.get(String(node.name)) ?? NOT_LITERAL;
    case 'name':
      return scope.constants.get(String(node.name).replace(/^\\/, '')) ?? NOT_LITERAL;
    case 'staticlookup': {
      const { what, offset } = node as unknown as Record<'what' | 'offset', Node>;
      return scope.variables.get(`${String(what.name).replace(/^\\/, '')}::$${offset.name}`) ?? NOT_LITERAL;
    }
    case 'array':
      return arrayOf(node.items as (Node | null)[], scope);
    case 'call':
      return resultOf(calledName(node), (node.arguments as Node[]).map(part), scope);
    case 'encapsedpart':
      return part(node.expression);
    case 'encapsed':
      // of a heredoc the parser reads `\"` and indented ends otherwise than PHP
      if (node.type === 'heredoc' && /\\"|\n[ \t]+\w+\s*$/.test(String(node.raw))) return NOT_LITERAL;
      return (node.value as Node[]).map(part).reduce(join, '');
    case 'bin':
      return node.type === '.' ? join(part(node.left), part(node.right)) : NOT_LITERAL;
    default:
      return NOT_LITERAL;
  }
}

function arrayOf(items: readonly (Node | null)[], scope: PhpScope): PhpValue {
  const array = new Map<string, PhpValue>();
  let next = 0;
  for (const item of items) {
    if (item?.kind !== 'entry' || item.byRef || item.unpack) return NOT_LITERAL;
    const key = item.key ? keyOf(evaluate(item.key as Node, scope)) : `${next}`;
    if (key === undefined) return NOT_LITERAL;
    array.set(key, evaluate(item.value as Node, scope));
    if (/^(0|[1-9]\d*)$/.test(key)) next = Math.max(next, Number(key) + 1);
  }
  return array;
}

function resultOf(name: string, values: readonly PhpValue[], { environment }: PhpScope): PhpValue {
  const [first, second = NOT_LITERAL] = values;
  if (typeof first !== 'string') return NOT_LITERAL;
  if (name === 'dirname' && values.length === 1 && isAbsolute(first)) return dirname(first);
  if (environment === undefined) return NOT_LITERAL;
  if (name === 'getenv' && values.length === 1) return environment[first] ?? NOT_LITERAL;
  // of WordPress's image for containers: the file wins, the default counts where nothing is set
  if (name === 'getenv_docker' && environment[`${first}_FILE`] === undefined)
    return environment[first] ?? second;
  return NOT_LITERAL;
}

function join(left: PhpValue, right: PhpValue): PhpValue {
  if (left === NOT_LITERAL || right === NOT_LITERAL || isArray(left) || isArray(right)) return NOT_LITERAL;
  // PHP's texts of true and false
  const text = (value: string | number | boolean | null): string =>
    value === true ? '1' : value === false ? '' : String(value ?? '');
  return text(left) + text(right);
}
