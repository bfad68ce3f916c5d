// The cross-check of rows and files, through an agent made for it: what is counted, what is told, and that nothing that goes
// wrong with it costs the backup.
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import { fakeClients } from '../helpers/fake-clients.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';

const ROOT = join(import.meta.dirname, '../..');

/** An agent whose rows name a file and perhaps a second place for it. Files named `own…` are none of its rows' business. */
const agentSource = (directory: string): string => `
import { agentMain } from '${ROOT}/agents/toolkit/command.ts';
import { defineAgent } from '${ROOT}/agents/toolkit/define-agent.ts';
import { runCommand } from '${ROOT}/lib/command-line.ts';
import { CORE_SETTINGS } from '${ROOT}/lib/settings.ts';

const agent = defineAgent({
  application: 'sample',
  title: 'Sample',
  settings: {},
  version: () => '1.0',
  databases: () => [{ name: 'app', engine: 'sqlite', connection: { file: '${directory}/app.db' } }],
  trees: () => [{ name: 'files', root: '${directory}/files', excludes: ['excluded'] }],
  crossChecks: () => {
    if (process.env.BROKEN === 'declaration') throw new Error('it is declared badly');
    return [{
      database: 'app',
      tree: process.env.BROKEN === 'tree' ? 'other' : 'files',
      sql: process.env.BROKEN === 'sql' ? 'SELECT nonsense FROM file' : 'SELECT name, size FROM file',
      pathsOf([name, size]) {
        if (process.env.BROKEN === 'paths') throw new Error('no path is made of it');
        return size === '0' ? [] : [name, 'second/' + name];
      },
      concerns(path) {
        if (process.env.BROKEN === 'concerns') throw new Error('it is not known');
        return !path.startsWith('own');
      },
    }];
  },
});
await runCommand(agentMain(agent), process.argv.slice(2), { program: 'agent-sample', known: CORE_SETTINGS });
`;

describe('the cross-check of rows and files', () => {
  let bench: Bench;
  let directory: string;
  beforeEach(() => {
    bench = makeBench();
    directory = join(bench.directory, 'sample');
    mkdirSync(join(directory, 'files/second'), { recursive: true });
    mkdirSync(join(directory, 'files/excluded'));
    writeFileSync(join(bench.directory, 'agent.ts'), agentSource(directory));
    return () => bench.remove();
  });

  const sql = (input: string) => execa('sqlite3', [join(directory, 'app.db')], { input });
  const file = (name: string | Buffer): void =>
    writeFileSync(Buffer.concat([Buffer.from(join(directory, 'files/')), Buffer.from(name)]), 'content');
  const rows = (...names: string[]) =>
    sql(
      `CREATE TABLE file(name, size); ${names
        .map((name) => `INSERT INTO file VALUES (CAST(x'${Buffer.from(name).toString('hex')}' AS TEXT), 7);`)
        .join('\n')}`,
    );
  /** Runs the agent as bin/agent-sample would be run. */
  const run = (args: string[] = [], env: Record<string, string> = {}): Promise<Ran> =>
    bench.run('garner', args, {
      env,
      wrap: ['sh', '-c', `exec node '${bench.directory}/agent.ts' "$@"`],
    });
  const backup = async (env: Record<string, string> = {}) => {
    const { exitCode, stdout, stderr } = await run(['--json'], env);
    return {
      exitCode,
      stderr,
      ...(JSON.parse(stdout) as {
        archive: string;
        crossChecks: object[];
        warnings: { code: string; message: string }[];
      }),
    };
  };
  const told = (stderr: string, what: string): string[] =>
    [...stderr.matchAll(new RegExp(`^\\(..:..:..\\) ${what}: (.*)$`, 'gm'))].map(
      ([, name]) => name as string,
    );

  it('counts a healthy application without a word of warning, in the manifest and for people', async () => {
    await rows('a.png', 'Räksmörgås.png', 'moved.png');
    await sql("INSERT INTO file VALUES ('empty.png', 0)");
    for (const name of ['a.png', 'Räksmörgås.png', 'second/moved.png', 'own.txt']) file(name);
    const { exitCode, archive, crossChecks, warnings } = await backup();
    const counts = { rowCount: 3, fileCount: 3, missingCount: 0, unnamedCount: 0 };
    expect({ exitCode, crossChecks, warnings }).toEqual({
      exitCode: 0,
      crossChecks: [{ database: 'app', tree: 'files', ...counts }],
      warnings: [],
    });
    const { stdout } = await execa('tar', ['-xOf', archive, 'manifest.json']);
    expect(JSON.parse(stdout).crossChecks).toEqual(crossChecks);
    const shown = await bench.run('garner', ['archive', 'show', archive]);
    expect(shown.stdout).toContain('app and files: 3 rows, 0 without a file; 3 files, 0 without a row');
  });

  it('names rows whose file is not in the archive and files that no row names, and warns of the first', async () => {
    await rows('there.png', 'gone.png', 'left-out.png');
    for (const name of ['there.png', 'stray.png', 'second/stray.png', 'excluded/left-out.png']) file(name);
    const { exitCode, stderr, crossChecks, warnings } = await backup();
    expect({ exitCode, crossChecks }).toEqual({
      exitCode: 3,
      crossChecks: [
        { database: 'app', tree: 'files', rowCount: 3, fileCount: 3, missingCount: 2, unnamedCount: 2 },
      ],
    });
    expect(warnings).toEqual([
      {
        code: 'files-missing',
        message: 'cross-check of app and files: the files of 2 of 3 rows are not in the archive',
      },
    ]);
    expect(told(stderr, 'not in the archive')).toEqual(['gone.png', 'left-out.png']);
    expect(told(stderr, 'named by no row')).toEqual(['second/stray.png', 'stray.png']);
  });

  it('warns of as many as the limits say', async () => {
    await rows('gone1.png', 'gone2.png');
    file('stray.png');
    const codes = async (missing: string, unnamed: string) => {
      const { exitCode, warnings } = await backup({
        GARNER_MISSING_FILES_LIMIT: missing,
        GARNER_UNNAMED_FILES_LIMIT: unnamed,
      });
      return [exitCode, ...warnings.map(({ code }) => code)];
    };
    expect(await codes('2', '1')).toEqual([0]);
    expect(await codes('1', '1')).toEqual([3, 'files-missing']);
    expect(await codes('2', '0')).toEqual([3, 'files-unnamed']);
    expect(await run([], { GARNER_MISSING_FILES_LIMIT: 'all' })).toMatchObject({ exitCode: 2 });
  });

  it('compares hostile names byte by byte, and escapes them in the log', async () => {
    const hostile = ['line\nbreak.png', '\x1b[2J.png', '"q\'u\\o.png', 'trailing ', '{"a":1}', '🦔.png'];
    await rows(...hostile, '\ufffd.png', 'gone\n\x1b[31m.png');
    for (const name of hostile) file(name);
    file(Buffer.from([0xff, 0x2e, 0x70, 0x6e, 0x67])); // no UTF-8: reads like the replacement character
    const { stderr, crossChecks } = await backup();
    expect(crossChecks).toMatchObject([{ rowCount: 8, fileCount: 7, missingCount: 2, unnamedCount: 1 }]);
    expect(told(stderr, 'not in the archive')).toEqual(['\ufffd.png', 'gone\\n\\x1b[31m.png']);
    expect(told(stderr, 'named by no row')).toEqual(['\ufffd.png']);
  });

  it('names at most a hundred of each', async () => {
    await rows(...Array.from({ length: 130 }, (_, n) => `gone${n}`));
    for (let n = 0; n < 101; n++) file(`stray${n}`);
    const { stderr, crossChecks } = await backup();
    expect(crossChecks).toMatchObject([{ missingCount: 130, unnamedCount: 101 }]);
    expect(told(stderr, 'not in the archive')).toHaveLength(101);
    expect(told(stderr, 'not in the archive').at(-1)).toBe('and 30 more');
    expect(told(stderr, 'named by no row').at(-1)).toBe('and 1 more');
  });

  /** A tar that does this each time it has written ten kilobytes, so in the midst of a-large. */
  const tarThat = (does: string): Record<string, string> => {
    writeFileSync(join(directory, 'files/a-large'), randomBytes(300_000));
    writeFileSync(join(bench.directory, 'does'), does);
    const options = `--checkpoint=1 --checkpoint-action=exec='sh ${bench.directory}/does'`;
    return { PATH: fakeClients(bench.directory, { tar: `exec "$REAL" ${options} "$@"` }) };
  };

  it('counts what was read at last where the tree is read again because a file shrank', async () => {
    await rows('a-first', 'a-large');
    file('a-first');
    const env = tarThat(`cd ${directory}/files; truncate -s 5000 a-large; rm -f a-first`);
    const { exitCode, stderr, crossChecks } = await backup(env);
    expect(stderr).toContain('reading the tree once more');
    expect({ exitCode, crossChecks }).toMatchObject({
      exitCode: 3,
      crossChecks: [{ rowCount: 2, fileCount: 1, missingCount: 1, unnamedCount: 0 }],
    });
  });

  it('finds missing what vanished before it was read, whatever its name', async () => {
    const vanishing = ['plain', 'två\n\\: File removed', "tab\t\x07'"];
    await rows('a-large', ...vanishing);
    for (const name of vanishing) file(name);
    const { crossChecks, warnings } = await backup(tarThat(`rm -f ${directory}/files/[pt]*`));
    expect(crossChecks).toMatchObject([{ rowCount: 4, fileCount: 1, missingCount: 3, unnamedCount: 0 }]);
    expect(warnings.map(({ code }) => code)).toEqual(['file-vanished', 'files-missing']);
  });

  it.each([
    ['paths', 'no path is made of it'],
    ['concerns', 'it is not known'],
    ['declaration', 'it is declared badly'],
  ])('keeps the backup, with a warning, where it can not be made: %s', async (broken, cause) => {
    await rows('a.png');
    file('a.png');
    const { exitCode, archive, crossChecks, warnings } = await backup({ BROKEN: broken });
    expect({ exitCode, crossChecks }).toEqual({ exitCode: 3, crossChecks: [] });
    expect(warnings).toEqual([{ code: 'cross-check-failed', message: expect.stringContaining(cause) }]);
    const { stdout } = await execa('tar', ['-tf', archive]);
    expect(stdout).toContain('files.tar.zst');
    expect(bench.workFiles()).toHaveLength(3);
  });

  it('says that it is not made, without a warning, where the database has other columns', async () => {
    await rows('a.png');
    file('a.png');
    const { exitCode, crossChecks, warnings, stderr } = await backup({ BROKEN: 'sql' });
    expect({ exitCode, crossChecks, warnings }).toEqual({ exitCode: 0, crossChecks: [], warnings: [] });
    expect(stderr).toMatch(/cross-check of .* is not made: .*no such column: nonsense/);
  });

  it('finds every file missing where the tree is not in the archive', async () => {
    await rows('a.png', 'b.png');
    file('a.png');
    expect(await backup({ BROKEN: 'tree' })).toMatchObject({
      exitCode: 3,
      crossChecks: [{ tree: 'other', rowCount: 2, fileCount: 0, missingCount: 2, unnamedCount: 0 }],
    });
  });

  it('leaves nothing in the work directory where the backup fails', async () => {
    await rows('a.png');
    rmSync(join(directory, 'files'), { recursive: true });
    expect(await run()).toMatchObject({ exitCode: 1 });
    expect(bench.workFiles()).toEqual([]);
  });
});
