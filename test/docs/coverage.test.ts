// What there is of each kind is described in its page, and pages that messages name are there.
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CHECKS } from '../../archiver/checks/finding.ts';
import { commandNames } from '../../cli/commands.ts';
import { ROOT } from './pages.ts';

const page = (name: string): string => readFileSync(join(ROOT, name), 'utf8');
const modules = (folder: string): string[] =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -'.ts'.length));
const columnOf = (text: string, head: string): string[] => {
  const [, rows = ''] = text.split(`| ${head} |`);
  return [...(rows.split('\n\n')[0] as string).matchAll(/^\| `?(\w[\w-]*)`? \|/gm)].map(
    ([, cell]) => cell as string,
  );
};

it('README.md names every command', () => {
  const text = page('README.md');
  expect(commandNames().filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([]);
});

it('docs/transports.md has a section on every transport', () => {
  const headings = [...page('docs/transports.md').matchAll(/^## ([\w-]+)/gm)].map(([, name]) => name);
  expect(modules('notifier/transports').filter((name) => !headings.includes(name))).toEqual([]);
});

it('docs/doctor.md has every check of garner doctor', () => {
  expect(columnOf(page('docs/doctor.md'), 'check').sort()).toEqual(modules('cli/doctor/checks').sort());
});

it('docs/archiver.md has every check of archiver check', () => {
  expect(columnOf(page('docs/archiver.md'), 'found | level | when')).toEqual([...CHECKS]);
});

it('pages that garner names in its messages are there', () => {
  const folders = '{agents,archive,archiver,bucket,cli,databases,lib,notifier,stores}';
  const sources = globSync(`${folders}/**/*.ts`, { cwd: ROOT }).map((file) => page(file));
  const named = new Set(sources.flatMap((text) => text.match(/\bdocs\/[\w-]+\.md/g) ?? []));
  expect(named.size).toBeGreaterThan(5);
  expect([...named].filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
});
