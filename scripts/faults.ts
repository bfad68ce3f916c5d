// Runs the fault matrix: the tests whose titles begin with a row's id, and says for each row whether it held.
//   node scripts/faults.ts [--row F18]… [--seed N] [--quick]
// --quick takes samples where a row would try every step.
// Without --row the result is written to docs/faults.md.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { FAULT_ROWS, type FaultRow, INVARIANTS } from '../test/faults/rows.ts';

const ROOT = new URL('..', import.meta.url).pathname;
const PAGE = join(ROOT, 'docs/faults.md');

interface TestResult {
  fullName: string;
  title: string;
  ancestorTitles: string[];
  status: string;
  file: string;
}

type Outcome = { state: 'held' | 'failed'; tests: TestResult[] } | { state: 'skipped'; why: string };

/** @returns the results of all tests that carry one of these ids */
async function runTests(ids: readonly string[], seed: number, quick: boolean): Promise<TestResult[]> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-faults-'));
  const output = join(directory, 'results.json');
  try {
    const env = { NO_COLOR: '1', TEST_SEED: `${seed}`, TEST_THOROUGH: quick ? '' : '1' };
    const pattern = `(^|\\s)(${ids.join('|')})\\s`;
    const args = [
      'run',
      '-t',
      pattern,
      '--reporter=minimal',
      '--reporter=json',
      `--outputFile.json=${output}`,
    ];
    await execa('vitest', args, { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'], reject: false });
    const { testResults } = JSON.parse(readFileSync(output, 'utf8')) as {
      testResults: { name: string; assertionResults: Omit<TestResult, 'file'>[] }[];
    };
    return testResults.flatMap(({ name, assertionResults }) =>
      assertionResults.map((result) => ({ ...result, file: relative(ROOT, name) })),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function judge({ id, waitsFor, needs }: FaultRow, results: readonly TestResult[]): Outcome {
  // a group of tests may carry the id for all of them
  const tests = results.filter(({ title, ancestorTitles }) =>
    [title, ...ancestorTitles].some((text) => /^(F\d\d )+/.exec(text)?.[0].includes(`${id} `)),
  );
  const ran = tests.filter(({ status }) => status === 'passed' || status === 'failed');
  if (ran.some(({ status }) => status === 'failed')) return { state: 'failed', tests: ran };
  if (ran.length > 0) return { state: 'held', tests: ran };
  if (waitsFor !== undefined) return { state: 'skipped', why: `${waitsFor}: not built yet` };
  if (tests.length > 0) return { state: 'skipped', why: `this machine lacks one of ${needs.join(', ')}` };
  return { state: 'skipped', why: 'no test yet' };
}

function summaryOf(outcomes: ReadonlyMap<FaultRow, Outcome>): string {
  const all = [...outcomes.values()];
  const held = all.filter(({ state }) => state === 'held').length;
  const failed = all.filter(({ state }) => state === 'failed').length;
  const reasons = Map.groupBy(
    [...outcomes].filter(([, { state }]) => state === 'skipped'),
    ([, outcome]) => (outcome as { why: string }).why,
  );
  const skipped = all.length - held - failed;
  const why = [...reasons].map(([reason, rows]) => `${reason}: ${rows.map(([{ id }]) => id).join(' ')}`);
  const failures = failed > 0 ? `, ${failed} FAILED` : '';
  const details = skipped > 0 ? ` (${why.join('; ')})` : '';
  return `${held} of ${all.length} rows held${failures}, ${skipped} skipped${details}`;
}

function page(outcomes: ReadonlyMap<FaultRow, Outcome>, seed: number, quick: boolean): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
  const lines = [...outcomes].map(([{ id, title, mustHold, invariants }, outcome]) => {
    const files = 'tests' in outcome ? [...new Set(outcome.tests.map(({ file }) => file))] : [];
    const tests =
      'why' in outcome
        ? outcome.why
        : `${outcome.tests.length} in ${files.map((file) => `\`${file.replace(/^test\//, '')}\``).join(', ')}`;
    return `| ${[id, title, mustHold, invariants.join(' '), outcome.state, tests].map(cell).join(' | ')} |`;
  });
  const invariants = Object.entries(INVARIANTS).map(([id, meaning]) => `- **${id}** ${meaning}`);
  return `# Faults

<!-- Written by \`make faults\`: do not edit. -->

What must hold when things break, and what the tests that break them found. \`make faults\` runs all of it again, with
real servers, disks that fill up, power cuts on file systems of their own, and signals at every system call that
changes a file; \`node scripts/faults.ts --row F18 --seed 5\` one row.

${summaryOf(outcomes)}. ${quick ? 'With samples of steps (`--quick`). ' : ''}Seed ${seed}, Linux ${release()}, ${cpus().length} processors, ${new Date().toISOString().slice(0, 10)}.

${invariants.join('\n')}

| row | fault | must hold | checks | result | tests |
| --- | --- | --- | --- | --- | --- |
${lines.join('\n')}
`;
}

const { values } = parseArgs({
  options: {
    row: { type: 'string', multiple: true },
    seed: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const unknown = values.row?.find((id) => !FAULT_ROWS.some((row) => row.id === id));
if (unknown !== undefined) {
  process.stderr.write(`faults: cannot run row "${unknown}": there are F01 to F${FAULT_ROWS.length}\n`);
  process.exit(2);
}
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!Number.isSafeInteger(seed)) {
  process.stderr.write(`faults: cannot use seed "${values.seed}": it is no whole number\n`);
  process.exit(2);
}
const rows = FAULT_ROWS.filter(({ id }) => values.row === undefined || values.row.includes(id));
const results = await runTests(
  rows.map(({ id }) => id),
  seed,
  values.quick,
);
const outcomes = new Map(rows.map((row) => [row, judge(row, results)]));
for (const [{ id, title }, outcome] of outcomes) {
  const detail = 'why' in outcome ? outcome.why : `${outcome.tests.length} tests`;
  process.stdout.write(`${id}  ${outcome.state.padEnd(7)}  ${title} (${detail})\n`);
  if ('tests' in outcome)
    for (const { status, title: test, file } of outcome.tests)
      if (status === 'failed') process.stdout.write(`     FAILED  ${file}: ${test}\n`);
}
if (values.row === undefined) writeFileSync(PAGE, page(outcomes, seed, values.quick));
process.stdout.write(`seed ${seed}\n${summaryOf(outcomes)}\n`);
if ([...outcomes.values()].some(({ state }) => state === 'failed')) process.exitCode = 1;
