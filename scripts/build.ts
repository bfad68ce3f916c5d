// Builds what is installed, into dist/: `node scripts/build.ts [--to DIR] [npm|executable|debian]…`, all of them by default.
// The same sources and the same Node give the same bytes; times are that of the last commit, or SOURCE_DATE_EPOCH.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import own from '../package.json' with { type: 'json' };
import { bundle, ROOT } from './build/bundle.ts';
import { buildDebianPackage } from './build/debian-package.ts';
import { buildExecutable } from './build/executable.ts';
import { billOfMaterials, nodePart, notices, partsOf } from './build/notices.ts';
import { buildNpmPackage } from './build/npm-package.ts';

const FORMS = ['npm', 'executable', 'debian'] as const;
export type Form = (typeof FORMS)[number];

/**
 * Builds some forms of garner.
 * @param to a directory, made where it is missing
 * @returns the names of the files in it
 */
export async function buildForms(forms: readonly Form[], to: string): Promise<string[]> {
  process.umask(0o022); // modes are in packages
  mkdirSync(to, { recursive: true });
  const time = await timeOfSources();
  const { code, inputs } = await bundle();
  const parts = partsOf(inputs);
  const withNode = [nodePart(), ...parts];
  const written: string[] = [];
  const write = (name: string, content: string): void => {
    writeFileSync(join(to, name), content);
    written.push(name);
  };
  write('THIRD-PARTY-NOTICES', notices(withNode));
  write(`garner-${own.version}.cdx.json`, billOfMaterials(withNode, time));
  if (forms.includes('npm')) {
    const documents = {
      'README.md': readFileSync(join(ROOT, 'README.md'), 'utf8'),
      LICENSE: readFileSync(join(ROOT, 'LICENSE'), 'utf8'),
      'THIRD-PARTY-NOTICES': notices(parts),
      'garner.cdx.json': billOfMaterials(parts, time),
    };
    await buildNpmPackage(code, documents, to);
    written.push(`garner-${own.version}.tgz`);
  }
  if (forms.includes('executable') || forms.includes('debian')) {
    const name = `garner-${own.version}-linux-${process.arch}`;
    const executable = join(to, name);
    await buildExecutable(code, executable);
    written.push(name);
    if (forms.includes('debian')) {
      const input = {
        executable,
        notices: notices(withNode),
        billOfMaterials: billOfMaterials(withNode, time),
        time,
      };
      written.push(await buildDebianPackage(input, to));
    }
  }
  const sums = written.map((name) => {
    const sum = createHash('sha256')
      .update(readFileSync(join(to, name)))
      .digest('hex');
    return `${sum}  ${name}\n`;
  });
  writeFileSync(join(to, 'SHA256SUMS'), sums.join(''));
  return [...written, 'SHA256SUMS'];
}

async function timeOfSources(): Promise<Date> {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) return new Date(Number(given) * 1000);
  const { stdout } = await execa('git', ['log', '-1', '--format=%ct'], { cwd: ROOT, reject: false });
  return new Date(Number(stdout ?? 0) * 1000);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { to: { type: 'string', default: join(ROOT, 'dist') } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !(FORMS as readonly string[]).includes(name));
  if (unknown !== undefined) throw new Error(`there is no form "${unknown}", only ${FORMS.join(', ')}`);
  const to = resolve(values.to);
  const forms = positionals.length > 0 ? (positionals as Form[]) : FORMS;
  for (const name of await buildForms(forms, to)) console.log(join(to, name));
}
