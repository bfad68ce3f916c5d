// Reads configuration that is PHP, as far as it is written literally. Nothing is ever evaluated: a value that depends on
// anything but literals, earlier literal variables and constants, and the file's own directory is `notLiteral`.
import { dirname, isAbsolute, join } from 'node:path';
import { Engine } from 'php-parser';
import { cannot } from '../../lib/errors.ts';
import type { HostView } from './host-view.ts';
import {
  assignedNames,
  CHANGES_ANY,
  calledName,
  guardedDefines,
  isVariableVariable,
  type Node,
  SHARING,
  targetsOf,
  unsilenced,
} from './php-effects.ts';
import { evaluate, isArray, keyOf, NOT_LITERAL, type PhpScope, type PhpValue } from './php-values.ts';
import { notLiteral } from './sources.ts';

export { NOT_LITERAL, type PhpValue } from './php-values.ts';

export interface PhpOptions {
  /** What has a value before. */
  variables?: Record<string, PhpValue>;
  constants?: Record<string, PhpValue>;
  environment?: PhpScope['environment'];
  /** Follows includes whose path is literal. @returns the file's text; undefined: it is passed over */
  readIncluded?(file: string): string | undefined;
}

/** For files that include each other; one may do so many times. */
const MAX_DEPTH = 8;
const MAX_INCLUDED = 100;

/**
 * Reads the variables that a PHP file assigns, where the last assignment wins, and the constants that it defines, where the
 * first definition wins. One inside a condition, a loop or a function is not literal, since whether it happens is not known;
 * `if (!defined('X')) define('X', …)` is none. What isn't set here may still be set by a file that this one includes and that
 * is not followed, by `extract` or by `$$name`.
 * @param source the file's text
 * @param file its path: `__DIR__` and messages
 * @throws application-configuration where it is no valid PHP
 */
export function readPhp(
  source: string,
  file: string,
  options: PhpOptions = {},
): Pick<PhpScope, 'variables' | 'constants'> {
  const scope: PhpScope = {
    variables: new Map(Object.entries(options.variables ?? {})),
    constants: new Map(Object.entries({ DIRECTORY_SEPARATOR: '/', ...options.constants })),
    file,
    environment: options.environment,
  };
  const { variables, constants } = scope;
  /** What other code may change at any time: `$b = &$a` changes both. */
  const shared = new Set<string>();
  /** Whether other code may have defined what isn't defined yet. */
  let isAnyDefined = false;
  let includedCount = 0;

  const set = (name: string, value: PhpValue): void => {
    variables.set(name, shared.has(name) ? NOT_LITERAL : value);
  };
  const setConstant = (name: string, value: PhpValue): void => {
    if (!constants.has(name)) constants.set(name, isAnyDefined ? NOT_LITERAL : value);
  };

  function define(call: Node, isSure: boolean): void {
    const [name, value] = call.arguments as Node[];
    const constant = name === undefined ? NOT_LITERAL : evaluate(name, scope);
    if (typeof constant !== 'string' || value === undefined) isAnyDefined = true;
    else setConstant(constant, isSure ? evaluate(value, scope) : NOT_LITERAL);
  }

  function assign(assignment: Node): void {
    const { left, right } = assignment as unknown as { left: Node; right: Node };
    const target = left.kind === 'offsetlookup' ? (left.what as Node) : left;
    const name = target.kind === 'variable' && target.name !== 'GLOBALS' ? target.name : undefined;
    const array = (typeof name === 'string' ? variables.get(name) : undefined) ?? new Map<string, PhpValue>();
    const key = left.offset ? keyOf(evaluate(left.offset as Node, scope)) : undefined;
    if (typeof name !== 'string' || (target !== left && (key === undefined || !isArray(array)))) {
      spoil(assignment);
      return;
    }
    spoil(right); // `$a = $b = …`
    const value = assignment.operator === '=' ? evaluate(right, scope) : NOT_LITERAL;
    const before = target === left ? undefined : (variables.get(name) ?? array);
    set(name, isArray(before) ? new Map([...before, [key as string, value]]) : value);
  }

  function include({ target }: Node, depth: number): void {
    const path = evaluate(target as Node, scope);
    if (typeof path !== 'string' || options.readIncluded === undefined || depth >= MAX_DEPTH) {
      isAnyDefined = true;
      return;
    }
    const included = isAbsolute(path) ? path : join(dirname(scope.file), path);
    includedCount += 1;
    if (includedCount > MAX_INCLUDED) {
      const cause = `it includes more than ${MAX_INCLUDED} files: itself?`;
      throw cannot('application-configuration', 'read configuration', file, cause);
    }
    const text = options.readIncluded(included);
    if (text !== undefined) run(text, included, depth + 1); // one that isn't there changes nothing
  }

  /** All that a piece of code may change, whether it runs or not. */
  function spoil(value: unknown): void {
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
    if (isAny || node.kind === 'include') isAnyDefined = true;
    if (calledName(node) === 'define') define(node, false);
    if (!spoilKeys(node))
      for (const name of isAny ? [...names, ...variables.keys()] : names) set(name, NOT_LITERAL);
    for (const child of Object.values(node)) spoil(child);
  }

  /** `$CONFIG = ['a' => …]` and `$CONFIG['a'] = …` under a condition say nothing of `$CONFIG['b']`. */
  function spoilKeys(node: Node): boolean {
    if (node.kind !== 'assign' || node.operator !== '=') return false;
    let target = node.left as Node;
    let offset: unknown;
    while (target.kind === 'offsetlookup') [offset, target] = [target.offset, target.what as Node];
    if (target.kind !== 'variable' || typeof target.name !== 'string' || target.name === 'GLOBALS')
      return false;
    const old = variables.get(target.name) ?? new Map<string, PhpValue>();
    const right = node.right as Node;
    const whole = offset === undefined && right.kind === 'array' ? evaluate(right, scope) : undefined;
    const key = offset ? keyOf(evaluate(offset as Node, scope)) : undefined;
    if (!isArray(old) || (!isArray(whole) && key === undefined)) return false;
    const unsure = isArray(whole) ? [...old.keys(), ...whole.keys()] : [key as string];
    set(target.name, new Map([...old, ...unsure.map((name) => [name, NOT_LITERAL] as const)]));
    return true;
  }

  /** `if ($extra = getenv_docker('WORDPRESS_CONFIG_EXTRA', ''))`, where that is empty */
  function isNever(test: Node): boolean {
    const value = evaluate(test.kind === 'assign' ? (test.right as Node) : test, scope);
    return value === '' || value === '0' || value === 0 || value === false || value === null;
  }

  function run(text: string, path: string, depth: number): void {
    const outer = scope.file;
    scope.file = path;
    for (const statement of parse(text, path)) {
      if (statement.kind === 'return') break;
      const guarded = guardedDefines(statement);
      const expression = unsilenced(statement.expression as Node | undefined);
      const isDefine = expression !== undefined && calledName(expression) === 'define';
      const defines = guarded ?? (isDefine ? [expression] : []);
      if (defines.length > 0) {
        spoil(defines.map((call) => call.arguments));
        for (const call of defines) define(call, true);
      } else if (statement.kind === 'constantstatement') {
        for (const { name, value } of statement.constants as { name: Node; value: Node }[])
          setConstant(String(name.name), evaluate(value, scope));
      } else if (expression?.kind === 'include') include(expression, depth);
      else if (expression?.kind === 'assign') assign(expression);
      else if (statement.kind === 'if' && isNever(statement.test as Node))
        spoil([statement.test, statement.alternate]);
      else spoil(statement);
    }
    scope.file = outer;
  }

  run(source, file, 0);
  return scope;
}

/** @returns the variables alone, see {@link readPhp} */
export function readPhpVariables(
  source: string,
  file: string,
  known: Record<string, PhpValue> = {},
): Map<string, PhpValue> {
  return readPhp(source, file, { variables: known }).variables;
}

/** @returns the statements of a file */
function parse(source: string, file: string): Node[] {
  try {
    const engine = new Engine({ parser: { suppressErrors: false }, ast: { withPositions: false } });
    return (engine.parseCode(source, file) as unknown as { children: Node[] }).children;
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
}

/** The variables or constants of an application's configuration file. */
export interface PhpSettings {
  /** @returns undefined where the file doesn't set it */
  value(name: string): PhpValue | undefined;
  /**
   * @returns the value as text; undefined where it isn't set or empty
   * @throws application-configuration where it is not written literally
   */
  literal(name: string): string | undefined;
}

/** @param shown how a name stands in the file, for messages */
export function phpSettings(
  values: ReadonlyMap<string, PhpValue>,
  file: string,
  shown: (name: string) => string,
): PhpSettings {
  const value = (name: string): PhpValue | undefined => values.get(name);
  return {
    value,
    literal(name) {
      const found = value(name);
      if (found === NOT_LITERAL || isArray(found)) throw notLiteral(file, shown(name));
      return found === undefined || found === null || found === '' ? undefined : String(found);
    },
  };
}

/** Reads the variables of a configuration file, see {@link readPhp}. */
export function readPhpSettings(
  view: HostView,
  file: string,
  variables: Record<string, PhpValue> = {},
): PhpSettings {
  return phpSettings(readPhp(view.readText(file), file, { variables }).variables, file, (name) => `$${name}`);
}
