// Measures garner beside its peers, in one run, in pairs of random order, and writes docs/benchmarks.md.
//   node bench/bench.ts [--case tree]… [--pairs 5] [--large]
// Without --case, all cases; --large adds those that take minutes. Ratios hold between machines better than seconds.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { BENCH_CASES, type BenchCase, LARGE_CASES, type Peer } from './cases.ts';
import { type Cost, measure } from './measure.ts';

const PAGE = join(import.meta.dirname, '../docs/benchmarks.md');
const MB = 1e6;

interface Comparison {
  peer: Peer;
  pairs: { garner: Cost; peer: Cost }[];
}

interface CaseResult {
  benchCase: BenchCase;
  comparisons: Comparison[];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = 0, high = 0] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return (low + high) / 2;
}

const ratiosOf = ({ pairs }: Comparison): number[] =>
  pairs.map(({ garner, peer }) => garner.wallSeconds / peer.wallSeconds);

async function runCase(benchCase: BenchCase, pairCount: number): Promise<CaseResult> {
  const directory = mkdtempSync('/var/tmp/garner-bench-');
  process.stderr.write(`${benchCase.id}: preparing in ${directory}\n`);
  try {
    await using prepared = await benchCase.prepare(directory);
    const run = async (command: Parameters<typeof measure>[0]): Promise<Cost> => {
      await execa('bash', ['-c', prepared.reset]);
      return measure(command);
    };
    await run(prepared.garner); // warms the caches of the kernel and of the servers
    const comparisons: Comparison[] = [];
    for (const peer of prepared.peers) {
      const pairs: Comparison['pairs'] = [];
      for (let pair = 0; pair < pairCount; pair += 1) {
        const garnerFirst = Math.random() < 0.5;
        const first = await run(garnerFirst ? prepared.garner : peer);
        const second = await run(garnerFirst ? peer : prepared.garner);
        pairs.push(garnerFirst ? { garner: first, peer: second } : { garner: second, peer: first });
      }
      const comparison = { peer, pairs };
      comparisons.push(comparison);
      process.stderr.write(`${benchCase.id}: ${median(ratiosOf(comparison)).toFixed(2)} of ${peer.name}\n`);
    }
    return { benchCase, comparisons };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @returns `garner 97, zstd 62`: the peaks of several runs, in MB */
function peaks(costs: readonly Cost[]): string {
  const all = new Map<string, number>();
  for (const { peakBytes } of costs)
    for (const [name, bytes] of peakBytes) all.set(name, Math.max(all.get(name) ?? 0, bytes));
  return [...all]
    .filter(([, bytes]) => bytes > 5 * MB)
    .sort(([, a], [, b]) => b - a)
    .map(([name, bytes]) => `${name} ${Math.round(bytes / MB)}`)
    .join(', ');
}

function ratioRow({ peer, pairs }: Comparison): string {
  const ratios = ratiosOf({ peer, pairs });
  const wall = (side: 'garner' | 'peer'): string =>
    median(pairs.map((pair) => pair[side].wallSeconds)).toFixed(2);
  const ratio = median(ratios);
  const spread = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
  const target =
    peer.target === undefined ? '' : `≤ ${peer.target}: ${ratio <= peer.target ? 'reached' : '**missed**'}`;
  return `| ${peer.name} | ${wall('garner')} | ${wall('peer')} | **${ratio.toFixed(2)}** | ${spread} | ${target} |`;
}

function costRow(name: string, costs: readonly Cost[]): string {
  return `| ${name} | ${median(costs.map(({ cpuSeconds }) => cpuSeconds)).toFixed(2)} | ${peaks(costs)} |`;
}

function section({ benchCase, comparisons }: CaseResult): string {
  const garner = comparisons.flatMap(({ pairs }) => pairs.map((pair) => pair.garner));
  const perHost =
    benchCase.hosts === undefined
      ? ''
      : `\nCPU of the archiver: ${((median(garner.map(({ cpuSeconds }) => cpuSeconds)) / benchCase.hosts) * 1000).toFixed(1)} ms a host.\n`;
  const seconds = median(garner.map(({ wallSeconds }) => wallSeconds));
  const limit =
    benchCase.limitSeconds === undefined
      ? ''
      : `\nAsked: at most ${benchCase.limitSeconds} s. garner takes ${seconds.toFixed(2)} s: ${seconds <= benchCase.limitSeconds ? 'reached' : '**missed**'}.\n`;
  return `## ${benchCase.title[0]?.toUpperCase()}${benchCase.title.slice(1)}

| peer | garner, s | peer, s | ratio | spread | target |
| --- | --- | --- | --- | --- | --- |
${comparisons.map(ratioRow).join('\n')}

| | CPU, s | peak memory by process, MB |
| --- | --- | --- |
${[
  costRow('garner', garner),
  ...comparisons.map(({ peer, pairs }) =>
    costRow(
      peer.name,
      pairs.map((pair) => pair.peer),
    ),
  ),
].join('\n')}
${perHost}${limit}${benchCase.note === undefined ? '' : `\n${benchCase.note}\n`}`;
}

async function versions(): Promise<string> {
  const script = `tar --version | head -1; zstd --version | grep -o 'v[0-9.]*'; restic version; borg --version; rsync --version | head -1; ssh -V 2>&1; mariadb --version; pg_dump --version`;
  const { stdout } = await execa('bash', ['-c', script], { reject: false });
  return stdout
    .split('\n')
    .map((line) => line.trim().slice(0, 60))
    .join('; ');
}

const { values } = parseArgs({
  options: {
    case: { type: 'string', multiple: true },
    pairs: { type: 'string', default: '5' },
    large: { type: 'boolean', default: false },
  },
});
const all = values.large ? [...BENCH_CASES, ...LARGE_CASES] : BENCH_CASES;
const unknown = values.case?.find((id) => ![...BENCH_CASES, ...LARGE_CASES].some((one) => one.id === id));
const pairCount = Number(values.pairs);
if (unknown !== undefined || !Number.isInteger(pairCount) || pairCount < 1) {
  const what = unknown === undefined ? `--pairs ${values.pairs}` : `case "${unknown}"`;
  const ids = [...BENCH_CASES, ...LARGE_CASES].map(({ id }) => id).join(', ');
  process.stderr.write(`bench: cannot run ${what}: cases are ${ids}; pairs are 1 or more\n`);
  process.exit(2);
}
const chosen =
  values.case === undefined
    ? all
    : [...BENCH_CASES, ...LARGE_CASES].filter(({ id }) => values.case?.includes(id));
const results: CaseResult[] = [];
for (const benchCase of chosen) results.push(await runCase(benchCase, pairCount));
const model =
  /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown processor';
const page = `# Benchmarks

<!-- Written by \`make bench\`: do not edit. -->

garner beside its peers, in one run: each pair in random order, files in the page cache, medians of ${pairCount} pairs, the ratio taken
pair by pair (below 1: garner is faster). Every figure of garner includes the checksums of the archive and reading it back
from the file; the peers do what their column says.

Made by \`node bench/bench.ts ${process.argv.slice(2).join(' ')}\` on ${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}, on ${new Date().toISOString().slice(0, 10)}.
${await versions()}.

${results.map(section).join('\n')}`;
if (values.case === undefined) writeFileSync(PAGE, page);
else process.stdout.write(page);
