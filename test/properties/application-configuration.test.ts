// Configuration of applications, which belongs to whoever runs them: what is read is what the application reads, or it is
// said that it can't be read; and no file makes an agent wait for ever.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { formatJavaProperties, parseJavaProperties } from '../../agents/toolkit/java-properties.ts';
import { databaseFromJdbc } from '../../agents/toolkit/jdbc.ts';
import { NOT_LITERAL, type PhpValue, readPhpVariables } from '../../agents/toolkit/php.ts';
import { allElements, parseXml } from '../../agents/toolkit/xml.ts';
import { holds, oddText, printSeed, readOrRefuse, SCRATCH } from '../helpers/properties.ts';
import { SEED } from '../helpers/random.ts';

printSeed();

const REFUSED = ['application-configuration'] as const;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(SCRATCH, 'garner-properties-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const NAMES = ['a', 'b', 'c'] as const;
const piece = fc.constantFrom(
  ...[
    'x',
    ' ',
    '0',
    '7',
    '$a',
    '{$b}',
    '$a[0]',
    '$b->c',
    '\\n',
    '\\t',
    '\\\\',
    "\\'",
    '\\"',
    '\\$',
    '\\x41',
    '\\101',
    '\\400',
  ],
  ...[
    '\\u{e9}',
    '\\u{1F600}',
    '\\e',
    '\\v',
    '\\q',
    '\\',
    '$',
    '{',
    '}',
    '#',
    '//',
    '/*',
    '?>',
    '<?php',
    '\n',
    'é',
    '\0',
    '%',
  ],
);
const string = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(''));
const expression = fc.letrec<{ whole: string; one: string }>((tie) => ({
  one: fc.oneof(
    { arbitrary: string.map((text) => `'${text}'`), weight: 4 },
    { arbitrary: string.map((text) => `"${text}"`), weight: 6 },
    fc.constantFrom(
      '1',
      '0',
      '007',
      '0x1F',
      '1_000',
      '1.50',
      '-1',
      '1e3',
      '9999999999999999999',
      'true',
      'FALSE',
      'null',
    ),
    fc.constantFrom(
      '$a',
      '$b',
      '$undefined',
      '__FILE__',
      '__DIR__',
      '__LINE__',
      'PHP_VERSION',
      "getenv('HOME')",
      ...['[1, 2]', "['x' => 1, 'y', '7' => $a, 'x' => 'z', 5]", 'array(__DIR__, [3 => "é"])', '[[]]'],
      ...['K_A', 'K_B', "dirname('/x/y/')"],
    ),
    string.map((text) => `<<<END\n  ${text}\n  END`),
    string.map((text) => `<<<'END'\n${text}\nEND`),
  ),
  whole: fc.oneof(
    { arbitrary: tie('one'), weight: 5 },
    fc.tuple(tie('one'), tie('one')).map(([left, right]) => `${left} . ${right}`),
    fc.tuple(tie('one'), tie('one')).map(([left, right]) => `(${left}) ?: ${right}`),
    tie('one').map((one) => `(string) (${one})`),
    tie('one').map((one) => `$c = ${one}`),
  ),
})).whole;
const statement = fc.oneof(
  {
    arbitrary: fc.tuple(fc.constantFrom(...NAMES), expression).map(([name, value]) => `$${name} = ${value};`),
    weight: 6,
  },
  fc.tuple(fc.constantFrom(...NAMES), expression).map(([name, value]) => `$${name} .= ${value};`),
  fc
    .tuple(fc.constantFrom(...NAMES), expression)
    .map(([name, value]) => `if (strlen('x') === 2) { $${name} = ${value}; }`),
  fc
    .tuple(fc.constantFrom('%', "if (strlen('x') === 1) { % }"), fc.constantFrom(...NAMES), expression)
    .map(([form, name, value]) => form.replace('%', () => `$${name}['x'] = ${value};`)),
  fc
    .tuple(
      fc.constantFrom(
        ...['%', '@%', "if (!defined('K_A')) { % }", "defined('K_A') || %", "if (strlen('x') === 2) %"],
      ),
      expression,
    )
    .map(([form, value]) => `${form.replace('%', () => `define('K_A', ${value})`).replace(' }', '; }')};`),
  expression.map((value) => `if (!defined('K_B')) $b = define('K_B', ${value});`),
  fc
    .tuple(expression, expression)
    .map(([test, value]) => `if ($c = ${test}) { $a = ${value}; } else { $b = 1; }`),
  fc.constantFrom(
    ...[
      'unset($a);',
      '$a[0] = 1;',
      '[$a, $b] = [1, 2];',
      'list($c) = ["x"];',
      '$d = &$a; $d = 1;',
      `$\{"a"} = 2;`,
    ],
    ...[
      'foreach ([1, 2] as $a) {}',
      '$GLOBALS["a"] = 3;',
      '(function () { $a = 4; })();',
      '$a++;',
      '$b ??= 5;',
      '// $a = 1;',
    ],
    ...[
      '(function () use (&$a) { $a = 6; })();',
      'global $a;',
      'static $b = 7;',
      'extract(["c" => 8]);',
      '$n = "a"; $$n = 9;',
    ],
    ...[
      'parse_str("a=1", $a);',
      'preg_match("/x/", "x", $b);',
      '?> text <?php',
      'try { throw new Exception; } catch (Exception $a) { $a = 1; }',
    ],
    ...['return;', 'eval("\\$a = 1;");', 'compact("a");'],
  ),
);
const program = fc
  .array(statement, { minLength: 1, maxLength: 4 })
  .map((all) => `<?php\n${all.join('\n')}\n`);

const EVALUATE = `
error_reporting(0);
$read = function () { include func_get_arg(0); return get_defined_vars(); };
function shown($v) {
  if (is_array($v)) return (object) array_map('shown', $v);
  return is_string($v) ? [base64_encode($v)] : (is_scalar($v) || $v === null ? $v : 'other');
}
foreach (file('php://stdin', FILE_IGNORE_NEW_LINES) as $file) {
  ob_start();
  try { $found = (object) array_map('shown', $read($file)); } catch (Throwable $e) { $found = null; }
  ob_end_clean();
  echo json_encode($found, JSON_PARTIAL_OUTPUT_ON_ERROR), "\\n";
}`;

type Found = Record<string, unknown> | null;

/** Runs PHP files, each in a function of its own. @returns the variables of each, strings in base64; null where PHP refuses it */
function evaluate(files: readonly string[]): Found[] {
  const all: Found[] = [];
  while (all.length < files.length) {
    const input = files.slice(all.length).join('\n');
    const { stdout } = spawnSync('php', ['-r', EVALUATE], { input, encoding: 'utf8', maxBuffer: 1 << 28 });
    const lines = stdout.split('\n').slice(0, -1);
    for (const line of lines) all.push(JSON.parse(line));
    if (all.length < files.length) all.push(null); // it ended PHP
  }
  return all;
}

/** What is not literal may be anything, or not be there. */
function isSame(ours: PhpValue | undefined, theirs: unknown): boolean {
  if (ours === NOT_LITERAL) return true;
  if (Array.isArray(theirs)) return ours === Buffer.from(`${theirs}`, 'base64').toString();
  if (!(ours instanceof Map)) return ours === (theirs ?? (ours === null ? null : undefined));
  if (theirs === undefined || theirs === null)
    return [...ours.values()].every((value) => value === NOT_LITERAL);
  const keys = new Set([...ours.keys(), ...Object.keys(theirs)]);
  return (
    typeof theirs === 'object' && [...keys].every((key) => isSame(ours.get(key), (theirs as Found)?.[key]))
  );
}

it('reads of a PHP file what PHP finds there, or says that it is not literal', () => {
  const sources = fc.sample(program, { seed: SEED, numRuns: 1500 });
  const files = sources.map((source, index) => {
    const file = join(directory, `${index}.php`);
    writeFileSync(file, source.replaceAll('K_', `K${index}_`)); // PHP keeps constants from one file to the next
    return file;
  });
  const wrong: string[] = [];
  let compared = 0;
  for (const [index, found] of evaluate(files).entries()) {
    const source = sources[index] as string;
    let read: ReturnType<typeof readPhpVariables> | undefined;
    try {
      read = readPhpVariables(source, files[index] as string);
    } catch (error) {
      if (!String(error).includes('PHP cannot parse it')) wrong.push(`${error}\n${source}`);
    }
    // what PHP itself refuses is no configuration of any application
    if (read === undefined || found === null) continue;
    for (const name of NAMES) {
      const ours = read.get(name);
      if (ours === NOT_LITERAL) continue;
      // as with a file that is included
      if (ours === undefined && /eval|extract|\$\$|\{"a"\} =/.test(source)) continue;
      compared += 1;
      if (!isSame(ours, found[name]))
        wrong.push(
          `$${name}: PHP has ${JSON.stringify(found[name])}, read is ${JSON.stringify(ours instanceof Map ? [...ours] : ours)}:\n${source}`,
        );
    }
  }
  expect(
    wrong
      .toSorted((x, y) => x.length - y.length)
      .slice(0, 12)
      .join('\n----\n'),
  ).toBe('');
  expect(compared).toBeGreaterThan(0);
});

const javaPiece = fc.constantFrom(
  ...'\\ \t\f\r\n=:#!aé\0\ud800',
  '\\u0041',
  '\\u',
  '\\\n',
  'jdbc.url',
  '__proto__',
);

it('reads any text as Java properties', async () => {
  const source = fc.array(javaPiece, { maxLength: 30 }).map((pieces) => pieces.join(''));
  await holds(source, (text) => readOrRefuse([], () => parseJavaProperties(text)), 1000);
});

it('reads a property as it was written', async () => {
  const text = fc.string({ unit: 'binary-ascii', minLength: 1 });
  const encode = (raw: string): string =>
    raw.replace(/[^a-z]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
  await holds(
    fc.tuple(text, text, fc.constantFrom('=', ':', ' ', ' = ')),
    ([key, value, separator]) => {
      const values = parseJavaProperties(`! comment\n${encode(key)}${separator}${encode(value)}\n`);
      expect([...values]).toEqual([[key, value]]);
    },
    500,
  );
});

it('writes properties that it reads back', async () => {
  const text = fc.string({ unit: 'binary', maxLength: 20 });
  await holds(
    fc.array(fc.tuple(text, text), { maxLength: 5 }).map((entries) => new Map(entries)),
    (values) => expect(parseJavaProperties(formatJavaProperties(values))).toEqual(values),
    500,
  );
});

it('follows a JDBC URL, or says that it can not', async () => {
  const part = fc.oneof(
    oddText,
    fc.constantFrom(
      ...[
        'mysql',
        'mariadb',
        'postgresql',
        'h2',
        '//',
        '/',
        '?',
        '&',
        '=',
        ':',
        ',',
        '@',
        '[::1]',
        ':3306',
        '%',
        '+',
        'db',
      ],
    ),
  );
  const url = fc.array(part, { maxLength: 12 }).map((parts) => `jdbc:${parts.join('')}`);
  await holds(
    fc.oneof(
      url,
      url.map((text) => text.replace('jdbc:', 'jdbc:mysql://h/')),
      url.map((text) => text.replace('jdbc:', 'jdbc:postgresql:')),
    ),
    (text) =>
      readOrRefuse([...REFUSED, 'configuration'], () =>
        databaseFromJdbc({ url: text, user: undefined, password: undefined, file: 'a file' }),
      ),
    1500,
  );
});

it('reads XML, or says that it is none', async () => {
  const xmlPiece = fc.constantFrom(
    ...[
      '<?xml version="1.0"?>',
      '<a>',
      '</a>',
      '<b x="1">',
      '</b>',
      '<c/>',
      '&amp;',
      '&x;',
      '&#0;',
      '&#xD800;',
      '<![CDATA[',
      ']]>',
      '<!--',
      '-->',
    ],
    ...[
      '<!DOCTYPE a [<!ENTITY x "y">]>',
      'text',
      '\0',
      '<',
      '>',
      '"',
      '<__proto__ constructor="1"/>',
      '<?php ?>',
      '\ud800',
      '\ufeff',
      '\ufffd',
    ],
  );
  const source = fc.array(xmlPiece, { maxLength: 12 }).map((pieces) => pieces.join(''));
  await holds(
    fc.oneof(
      source,
      source.map((text) => `<a>${text}</a>`),
      oddText,
    ),
    (text) => readOrRefuse(REFUSED, () => [...allElements(parseXml(text, 'a file'))]),
    2000,
  );
});

it('refuses a file that is none, without waiting for it', async () => {
  const fifo = join(directory, 'fifo');
  expect(spawnSync('mkfifo', [fifo]).status).toBe(0);
  const view = hostView();
  for (const file of [fifo, '/dev/zero', directory, join(directory, 'not there')]) {
    expect(await readOrRefuse(REFUSED, () => view.readText(file)), file).toBeUndefined();
  }
});

const LARGE = 1 << 20;

it.each([
  ['PHP in depth', () => readPhpVariables(`<?php $a = ${'['.repeat(LARGE)}`, 'a file')],
  ['PHP in length', () => readPhpVariables(`<?php $a = 'x'${" . 'x'".repeat(LARGE / 64)};`, 'a file')],
  ['XML in depth', () => parseXml('<a>'.repeat(LARGE), 'a file')],
  ['XML in length', () => parseXml(`<a>${'<b/>'.repeat(LARGE / 8)}</a>`, 'a file')],
  ['Java properties of one line', () => parseJavaProperties('x'.repeat(LARGE))],
  ['Java properties of continued lines', () => parseJavaProperties('x\\\n'.repeat(LARGE / 4))],
  ['Java properties of backslashes', () => parseJavaProperties('\\'.repeat(LARGE + 1))],
  [
    'a JDBC URL of spaces',
    () =>
      databaseFromJdbc({
        url: `jdbc:mysql://h/${' '.repeat(LARGE)}x`,
        user: undefined,
        password: undefined,
        file: 'a file',
      }),
  ],
])('reads or refuses %s, and comes to an end', async (_, read: () => unknown) => {
  await readOrRefuse([...REFUSED, 'configuration'], read);
});
