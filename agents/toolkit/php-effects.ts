// What a piece of PHP may change, whether it runs or not: for a reader that evaluates nothing but literals.

/** A node of the parser's tree. */
export interface Node {
  kind: string;
  [key: string]: unknown;
}

/** After these, two names are one variable, or a variable is also that of other code. */
export const SHARING = new Set(['assignref', 'static', 'global', 'closure', 'entry', 'foreach']);
/** Functions that change variables without naming them. */
export const CHANGES_ANY = new Set(['eval', 'extract']);
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

export function calledName(node: Node): string {
  const name = node.kind === 'call' ? (node.what as Node).name : node.kind;
  return typeof name === 'string' ? name.toLowerCase().replace(/^\\/, '') : '';
}

/** @returns what a node itself changes, not what is below it does */
export function targetsOf(node: Node): Node[] {
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
export function isVariableVariable({ kind, name }: Node): boolean {
  return kind === 'variable' && typeof name !== 'string';
}

/** @returns the variables that an assignment to this changes; `$a['b'] = …` changes `$a` in a way that isn't followed */
export function assignedNames(left: Node): string[] {
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

/** @returns what stands behind `@` */
export const unsilenced = (node: Node | undefined): Node | undefined =>
  node?.kind === 'silent' ? (node.expr as Node) : node;

/** @returns the name in `!defined('X')` or `defined('X')` */
function testedConstant(node: Node | undefined): unknown {
  const [argument] = node !== undefined && calledName(node) === 'defined' ? (node.arguments as Node[]) : [];
  return argument?.kind === 'string' ? argument.value : undefined;
}

/**
 * `if (!defined('X')) define('X', …)` and `defined('X') || define('X', …)` do what `define` alone does: the first one wins.
 * @returns the calls of `define`; undefined for anything else
 */
export function guardedDefines(statement: Node): Node[] | undefined {
  const { test, body, alternate, expression } = statement as unknown as Record<string, Node | null>;
  let constant: unknown;
  let guarded: (Node | undefined)[] = [];
  if (statement.kind === 'if' && test?.kind === 'unary' && test.type === '!' && !alternate) {
    constant = testedConstant(test.what as Node);
    const statements = body?.kind === 'block' ? (body.children as Node[]) : [body as Node];
    guarded = statements.map((each) => unsilenced(each.expression as Node | undefined));
  } else if (expression?.kind === 'bin' && ['||', 'or'].includes(String(expression.type))) {
    constant = testedConstant(expression.left as Node);
    guarded = [expression.right as Node];
  }
  const isIts = (call: Node | undefined): call is Node =>
    call !== undefined &&
    calledName(call) === 'define' &&
    (call.arguments as Node[])[0]?.kind === 'string' &&
    (call.arguments as Node[])[0]?.value === constant;
  return constant !== undefined && guarded.length > 0 && guarded.every(isIts) ? guarded : undefined;
}
