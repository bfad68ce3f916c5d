// Which top-level folder may import from which: imports.json. A folder may always import from itself.
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';

type Arrows = Record<string, string[]>;

const IMPORT = /^(?:import|export)\s[^;'"]*?from '([^']+)'|^import '([^']+)'|\bimport\(\s*'([^']+)'/gm;

/** @returns one line for each import that no arrow allows, and for each file in a folder that has no arrows */
function forbiddenImports(files: Record<string, string>, arrows: Arrows): string[] {
  return Object.entries(files).flatMap(([file, source]) => {
    const folder = file.split('/')[0] as string;
    const allowed = arrows[folder];
    if (allowed === undefined) return [`${file} is in no folder of imports.json`];
    return [...source.matchAll(IMPORT)]
      .map((match) => match[1] ?? match[2] ?? (match[3] as string))
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => join(dirname(file), specifier))
      .filter(
        (target) =>
          ![folder, ...allowed].some((to) => to === '*' || target === to || target.startsWith(`${to}/`)),
      )
      .map((target) => `${file} imports ${target}`);
  });
}

it('lets each folder import only from those that imports.json names', () => {
  const root = join(import.meta.dirname, '..');
  const paths = globSync('*/**/*.ts', { cwd: root, exclude: ['node_modules', '.node', '.demo', 'coverage'] });
  const files = Object.fromEntries(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
  const arrows: Arrows = JSON.parse(readFileSync(join(root, 'imports.json'), 'utf8'));
  expect(paths).toContain('lib/errors.ts');
  expect(forbiddenImports(files, arrows)).toEqual([]);
});

it('finds every form of a forbidden import, and files in unknown folders', () => {
  const files = {
    'lib/a.ts':
      "import { b } from './b.ts';\nimport { x } from 'node:fs';\nimport type { S } from '../stores/store.ts';\n",
    'archive/a.ts':
      "import type { S } from '../stores/store.ts';\nimport {\n  c,\n} from '../stores/file.ts';\n",
    'stores/sub/a.ts': "import '../../lib/a.ts';\nexport * from '../../archive/a.ts';\n",
    'agents/a.ts': "const x = await import('../cli/main.ts');\n",
    'cli/a.ts': "import '../agents/a.ts';\n",
    'other/a.ts': '',
  };
  const arrows = {
    lib: [],
    archive: ['lib', 'stores/store.ts'],
    stores: ['lib'],
    agents: ['lib'],
    cli: ['*'],
  };
  expect(forbiddenImports(files, arrows)).toEqual([
    'lib/a.ts imports stores/store.ts',
    'archive/a.ts imports stores/file.ts',
    'stores/sub/a.ts imports archive/a.ts',
    'agents/a.ts imports cli/main.ts',
    'other/a.ts is in no folder of imports.json',
  ]);
});
