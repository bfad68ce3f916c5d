// One CommonJS file of garner's modules and packages, as the single executable needs it. It needs nothing beside it, and
// reads of itself what is used. The same sources give the same bytes.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type BuildOptions, type BuildResult, build, type Plugin, transform } from 'esbuild';

export const ROOT = join(import.meta.dirname, '../..');

const FOLDERS = ['agents', 'databases', 'notifier/transports'];
const THREADS = ['archive/digest-worker', 'archive/survey-worker'];
const PROGRAMS = ['databases/toolkit/sqlite-program'];

/** zod's messages in forty languages, of which garner shows none. */
const LOCALES = /\/zod\/v4\/locales\/index\.js$/;

/** Loaded only where there are native addons, and done without. */
const NATIVE = /\.node$|^cpu-features$/;

/** Runs in an older Node too, as far as to say that it is too old: newer syntax is rewritten, newer functions aren't. */
const TARGET = 'node18';
const TOO_OLD = `if (parseInt(process.versions.node, 10) < 24) {
  console.error('garner: cannot run: Node ' + process.versions.node + ' is too old: it needs 24 or newer');
  process.exit(1);
}`;

const COMMON = {
  absWorkingDir: ROOT,
  bundle: true,
  write: false,
  metafile: true,
  platform: 'node',
  target: TARGET,
  legalComments: 'none', // THIRD-PARTY-NOTICES has them
  logLevel: 'silent',
} as const satisfies BuildOptions;
const SMALL = {
  platform: 'node',
  target: TARGET,
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160, // Node prints the line of an error that nobody catches
} as const;

export interface Bundle {
  code: string;
  /** The files that it is made of, from the top of the project. */
  inputs: string[];
}

/** @throws where something can't be bundled, warnings included */
export async function bundle(): Promise<Bundle> {
  const threads: Record<string, string> = {};
  for (const thread of THREADS) threads[thread] = await threadSource(`${thread}.ts`);
  const { outputFiles, metafile } = await buildStrictly({
    entryPoints: ['cli/bundle.ts'],
    format: 'esm',
    splitting: true, // what is imported while it runs becomes a chunk
    outdir: '/',
    plugins: [inPlaceOfFiles(threads)],
  });
  const chunks: Record<string, string> = {};
  for (const { path, text } of outputFiles) {
    const { code } = await transform(text, {
      ...SMALL,
      format: 'cjs',
      supported: { 'dynamic-import': false },
    });
    chunks[`.${path}`] = code;
  }
  return { code: loader(chunks), inputs: Object.keys(metafile.inputs).sort() };
}

async function threadSource(entry: string): Promise<string> {
  const { outputFiles } = await buildStrictly({
    ...SMALL,
    entryPoints: [entry],
    format: 'cjs',
    plugins: [inPlaceOfFiles({})],
  });
  return outputFiles[0]?.text as string;
}

async function buildStrictly(options: BuildOptions): Promise<BuildResult<typeof COMMON>> {
  const result = await build({ ...options, ...COMMON });
  if (result.warnings.length > 0) throw new Error(result.warnings.map(({ text }) => text).join('\n'));
  return result;
}

/** Chunks are texts until they are used: reading all as code took four times as long as starting Node. */
function loader(chunks: Record<string, string>): string {
  return `${TOO_OLD}
const { Script } = require('node:vm');
const CHUNKS = ${inAscii(JSON.stringify(chunks))};
const loaded = {};
function load(name) {
  if (!Object.hasOwn(CHUNKS, name)) return require(name);
  if (loaded[name] === undefined) {
    const module = (loaded[name] = { exports: {} });
    const source = '(function (require, module, exports, __filename, __dirname) {' + CHUNKS[name] + '\\n})';
    const run = new Script(source, { filename: 'garner/' + name }).runInThisContext();
    run(load, module, module.exports, __filename, __dirname);
  }
  return loaded[name].exports;
}
load('./bundle.js');
`;
}

/** One other character, and V8 takes two bytes for each of the megabytes: a tenth of the start. */
function inAscii(json: string): string {
  return json.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Puts lists and sources in the place of the modules that look for files. */
function inPlaceOfFiles(threads: Record<string, string>): Plugin {
  const replaced: Record<string, () => string> = {
    'lib/modules.ts': modules,
    'lib/own-code.ts': () => ownCode(threads),
    'notifier/all-transports.ts': allTransports,
  };
  return {
    name: 'in-place-of-files',
    setup({ onLoad, onResolve }) {
      for (const [file, contents] of Object.entries(replaced)) {
        const path = join(ROOT, file);
        const filter = new RegExp(`^${RegExp.escape(path)}$`);
        onLoad({ filter }, () => ({ contents: contents(), loader: 'js', resolveDir: join(path, '..') }));
      }
      onLoad({ filter: LOCALES }, () => ({ contents: "export { default as en } from './en.js';" }));
      onResolve({ filter: NATIVE }, ({ path }) => ({ path, namespace: 'native' }));
      onLoad({ filter: /.*/, namespace: 'native' }, ({ path }) => ({
        contents: `throw new Error(${JSON.stringify(`${path} is no part of the bundle`)});`,
      }));
    },
  };
}

function namesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder))
    .filter((name) => /^[a-z][a-z0-9-]*\.ts$/.test(name))
    .map((name) => name.slice(0, -'.ts'.length))
    .sort();
}

function modules(): string {
  const folders = FOLDERS.map((folder) => {
    const entries = namesIn(folder).map((name) => `'${name}': () => import('../${folder}/${name}.ts')`);
    return `'${folder}': {${entries}}`;
  });
  return `const FOLDERS = {${folders}};
export const moduleNames = (folder) => Object.keys(FOLDERS[folder]);
export const loadModule = async (folder, name) => (await FOLDERS[folder][name]()).default;`;
}

function allTransports(): string {
  const names = namesIn('notifier/transports');
  const imports = names.map((name, index) => `import t${index} from './transports/${name}.ts';`);
  return `${imports.join('')}
export const TRANSPORTS = new Map([${names.map((name, index) => `['${name}', t${index}]`)}]);`;
}

/** A thread starts from its source; a program is the bundle again, told by its first argument what it is. */
function ownCode(threads: Record<string, string>): string {
  const programs = PROGRAMS.map((program) => `'own:${program}': () => import('../${program}.ts')`);
  return `import { isSea } from 'node:sea';
import { Worker } from 'node:worker_threads';
const THREADS = ${JSON.stringify(threads)};
const PROGRAMS = {${Object.keys(threads).length > 0 ? programs : ''}};
export const startThread = (module, workerData) => new Worker(THREADS[module], { eval: true, workerData });
export function ownProgram(module) {
  const args = isSea() ? [] : ['--disable-warning=ExperimentalWarning', __filename];
  return { file: process.execPath, args: [...args, 'own:' + module] };
}
export const isProgram = (word) => Object.hasOwn(PROGRAMS, word);
export const startProgram = (word) => PROGRAMS[word]();`;
}
