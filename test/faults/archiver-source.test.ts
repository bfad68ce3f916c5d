// F32 through a whole pull: somebody writes at the host while its archive is fetched.
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { daysAgo, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';

it.each([
  ['grows', (path: string) => appendFileSync(path, 'more')],
  ['shrinks', (path: string) => truncateSync(path, 100)],
  [
    'is replaced by another of its size',
    (path: string) => {
      writeFileSync(`${path}.new`, randomBytes(statSync(path).size));
      renameSync(`${path}.new`, path);
    },
  ],
])(
  'F32 an archive that %s while it is fetched is not taken and not removed; later it is',
  async (_, change) => {
    const archiver = testArchiver();
    archiver.setUp();
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const work = archiver.workDir('web1');
    const group = join(archiver.root, 'web1/mediawiki');
    const content = randomBytes(20_000_000);
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1), content });
    copyFileSync(made.path, join(archiver.directory, 'right'));
    // a slow disk, so that it is still being fetched when it changes
    const wrap = [
      'strace',
      '-f',
      '-qqq',
      '-o',
      '/dev/null',
      '-e',
      'trace=write',
      '-e',
      'inject=write:delay_enter=50000',
    ];
    const pulling = archiver.run(['pull'], { wrap });
    const begun = (): boolean =>
      existsSync(group) &&
      readdirSync(group).some(
        (name) => name.startsWith('.part-') && statSync(join(group, name)).size > 1_000_000,
      );
    while (!begun()) await sleep(5);
    change(made.path);
    const { exitCode, stderr } = await pulling;
    expect(exitCode, stderr).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`error: web1: cannot .*${made.name}.tar": it (changed while it was read|ended before)`),
    );
    expect(archiver.stored()).toEqual(['.garner-archive']);
    expect(existsSync(made.path)).toBe(true);

    copyFileSync(join(archiver.directory, 'right'), made.path);
    expect((await archiver.run(['pull'])).exitCode).toBe(0);
    await execa('sha256sum', ['--check', '--strict', '--status', `${made.name}.tar.sha256`], { cwd: group });
    expect(readdirSync(work)).toEqual([]);
    archiver.remove();
  },
);
