// The npm package: the bundle under the name of every command, and nothing to be fetched when it is installed.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { commandNames } from '../../cli/commands.ts';
import own from '../../package.json' with { type: 'json' };

const MAIN = 'garner.js';
const SHEBANG = '#!/usr/bin/env -S node --max-semi-space-size=1';

/**
 * Writes `garner-<version>.tgz`.
 * @param documents files that go with it, by name
 */
export async function buildNpmPackage(
  code: string,
  documents: Record<string, string>,
  to: string,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-build-'));
  try {
    mkdirSync(to, { recursive: true });
    const { name, version, description, license, engines } = own;
    const bin = Object.fromEntries(commandNames().map((command) => [command, MAIN]));
    const description_ = { name, version, description, license, type: 'commonjs', engines, bin };
    const files: Record<string, string> = {
      ...documents,
      'package.json': `${JSON.stringify(description_, null, 2)}\n`,
      [MAIN]: `${SHEBANG}\n${code}`,
    };
    for (const [file, content] of Object.entries(files)) {
      writeFileSync(join(directory, file), content, { mode: file === MAIN ? 0o755 : 0o644 });
    }
    await execa('npm', ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', to], {
      cwd: directory,
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
