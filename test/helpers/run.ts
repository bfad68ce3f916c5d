// Runs garner's commands from bin/ as a user would, with directories of their own for work, state, locks, configuration
// and home, so that nothing of the machine matters and nothing of it is touched.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, type ResultPromise } from 'execa';

const BIN = join(import.meta.dirname, '../../bin');

export interface Ran {
  /** 128 + n where signal n ended it. */
  exitCode: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  /** A command that runs it: `['strace', …]`. */
  wrap?: string[];
}

export interface Bench {
  /** Everything of it; what tests make may lie here too. */
  readonly directory: string;
  readonly workDir: string;
  readonly configDir: string;
  readonly home: string;
  run(command: string, args?: string[], options?: RunOptions): Promise<Ran>;
  /** Starts a command and gives its process, for tests that end it. */
  start(command: string, args?: string[], options?: RunOptions): ResultPromise<{ reject: false }>;
  /** Runs a backup that has to succeed. @returns the archive's path */
  backup(command: string, options?: RunOptions & { args?: string[]; exitCode?: number }): Promise<string>;
  /** Writes a configuration file, readable by its owner alone. */
  configure(file: string, content: string): void;
  /** @returns the names in the work directory, sorted; none where it does not exist */
  workFiles(): string[];
  remove(): void;
}

export function makeBench(): Bench {
  const directory = mkdtempSync(join(tmpdir(), 'garner-bench-'));
  const [workDir, configDir, home] = ['work', 'config', 'home'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(configDir);
  mkdirSync(home);
  const own = {
    GARNER_WORK_DIR: workDir,
    GARNER_STATE_DIR: join(directory, 'state'),
    GARNER_RUN_DIR: join(directory, 'run'),
    GARNER_CONFIG_DIR: configDir,
    GARNER_HOST: 'web1.example.org',
    HOME: home,
  };
  const bench: Bench = {
    directory,
    workDir,
    configDir,
    home,
    start(command, args = [], { env = {}, wrap = [] } = {}) {
      const [file, ...rest] = [...wrap, join(BIN, command), ...args] as [string, ...string[]];
      return execa(file, rest, { reject: false, env: { ...own, ...env } });
    },
    async run(command, args, options) {
      return ranOf(await bench.start(command, args, options));
    },
    async backup(command, { args = [], exitCode = 0, ...options } = {}) {
      const ran = await bench.run(command, args, options);
      if (ran.exitCode !== exitCode) throw new Error(`${command}: exit ${ran.exitCode}: ${ran.stderr}`);
      return ran.stdout;
    },
    configure: (file, content) => writeFileSync(join(configDir, file), content, { mode: 0o600 }),
    workFiles() {
      try {
        return readdirSync(workDir).sort();
      } catch {
        return [];
      }
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
  return bench;
}

const SIGNALS: Record<string, number> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

/** @returns what a started command came to */
export function ranOf(result: Awaited<ResultPromise<{ reject: false }>>): Ran {
  const { exitCode, signal, stdout, stderr } = result;
  return { exitCode: exitCode ?? 128 + (SIGNALS[signal ?? ''] ?? 0), stdout, stderr };
}

/**
 * All there is to know of files: names, kinds, modes, owners, sizes, times, links and content.
 * @param paths that need not exist
 * @returns one text, the same where nothing has changed
 */
export async function snapshot(...paths: string[]): Promise<string> {
  const script = `
    for path; do
      [ -e "$path" ] || { echo "$path is not there"; continue; }
      find "$path" -printf '%p %y %m %u %g %s %T@ %l\\0' | sort -z | tr '\\0\\n' '\\n '
      find "$path" -type f -print0 | sort -z | xargs -0r sha256sum
    done`;
  return (await execa('sh', ['-c', script, 'sh', ...paths], { env: { LC_ALL: 'C' } })).stdout;
}
