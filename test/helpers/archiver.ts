// A whole archiver of a test's own: a configuration, work directories of hosts, an archive store; the commands are run as
// processes, as cron would.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { vi } from 'vitest';
import { main } from '../../archiver/archiver.ts';
import { createCatalog, openCatalog } from '../../archiver/catalog/catalog.ts';
import { readConfiguration } from '../../archiver/configuration.ts';
import type { Run } from '../../archiver/run.ts';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import { openFileStore } from '../../stores/file.ts';
import { onceInRun } from './of-run.ts';

/** @returns the archiver as it is installed: of its hundreds of sources one file, which is half the start */
async function bundledArchiver(): Promise<string> {
  const directory = await onceInRun('bundle', async (making) => {
    const { bundle } = await import('../../scripts/build/bundle.ts');
    writeFileSync(join(making, 'garner.cjs'), (await bundle()).code);
    symlinkSync('garner.cjs', join(making, 'archiver'));
  });
  return join(directory, 'archiver');
}

export interface Ended {
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
  // biome-ignore lint/suspicious/noExplicitAny: what --json printed
  json: any;
}

export interface TestArchiver {
  directory: string;
  /** The archive store. */
  root: string;
  configFile: string;
  /** @returns the work directory of a host, made */
  workDir(host: string): string;
  /** Writes archiver.yaml: `archive` and what is given. */
  configure(rest: string): void;
  /** Writes archiver.yaml with `file://` work directories for some hosts. */
  configureHosts(hosts: string[], options?: { retention?: string; host?: string; top?: string }): void;
  /** Makes the archive store as `init` does, without the time that a process takes. */
  setUp(): void;
  /** @param wrap a command that runs it: `['strace', …]` */
  run(args: string[], options?: { env?: Record<string, string>; wrap?: string[] }): Promise<Ended>;
  /** Does in this process what a command would do, without lock; `now` and the signal are a fresh run's. */
  inProcess<T>(action: (run: Run) => Promise<T>): Promise<T>;
  /** Runs a command in this process, without the time that one of its own takes; its log goes to the test's. */
  runHere(
    args: string[],
    env?: Record<string, string>,
    config?: string[],
  ): Promise<{ exitCode: number; stdout: string }>;
  /** @returns all files of the archive store but the catalog's, relative, sorted */
  stored(): string[];
  /** @returns what `sqlite3` prints */
  query(sql: string): Promise<string>;
  remove(): void;
}

export function testArchiver(): TestArchiver {
  const directory = mkdtempSync(join(tmpdir(), 'garner-archiver-'));
  const root = join(directory, 'archive');
  const configFile = join(directory, 'archiver.yaml');
  const self: TestArchiver = {
    directory,
    root,
    configFile,
    workDir(host) {
      const path = join(directory, 'hosts', host);
      mkdirSync(path, { recursive: true });
      return path;
    },
    configure: (rest) => writeFileSync(configFile, `archive: ${root}\n${rest}`, { mode: 0o600 }),
    configureHosts(hosts, { retention, host = '', top = '' } = {}) {
      const lines = hosts.map(
        (name) => `  ${name}: {url: "file://${self.workDir(name)}"${host && `, ${host}`}}\n`,
      );
      self.configure(`${retention ? `retention: ${retention}\n` : ''}${top}hosts:\n${lines.join('')}`);
    },
    setUp() {
      mkdirSync(root, { mode: 0o700 });
      writeFileSync(join(root, '.garner-archive'), '');
      createCatalog(join(root, '.catalog/catalog.sqlite'));
    },
    async run(args, { env = {}, wrap = [] } = {}) {
      const command = [...wrap, process.execPath, await bundledArchiver(), ...args, '--config', configFile];
      const [file, ...rest] = command as [string, ...string[]];
      const { exitCode, signal, stdout, stderr } = await execa(file, rest, {
        reject: false,
        env: {
          GARNER_RUN_DIR: join(directory, 'run'),
          GARNER_CONFIG_DIR: directory,
          ...env,
        },
      });
      const code = exitCode ?? (signal === 'SIGKILL' ? 137 : undefined);
      let json: unknown;
      if (args.includes('--json') && stdout.startsWith('{')) json = JSON.parse(stdout);
      return { exitCode: code, stdout, stderr, json };
    },
    async inProcess(action) {
      const configuration = readConfiguration(configFile);
      await using catalog = openCatalog(configuration.catalog);
      await using archives = openFileStore(configuration.root);
      const { signal } = new AbortController();
      return await action({ configuration, catalog, archives, signal, now: new Date() });
    },
    async runHere(args, env = {}, config = ['--config', configFile]) {
      const before = { ...process.env };
      const printed: string[] = [];
      const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
        printed.push(String(text));
        return true;
      });
      Object.assign(process.env, {
        GARNER_RUN_DIR: join(directory, 'run'),
        GARNER_CONFIG_DIR: directory,
        ...env,
      });
      try {
        process.exitCode = 0;
        const context = { program: 'archiver', known: CORE_SETTINGS };
        await main([...args, ...config], context);
        return { exitCode: Number(process.exitCode), stdout: printed.join('') };
      } finally {
        process.exitCode = 0;
        process.env = before;
        stdout.mockRestore();
      }
    },
    stored: () =>
      existsSync(root)
        ? readdirSync(root, { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(join(root, '.catalog')))
            .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
            .sort()
        : [],
    query: async (sql) => (await execa('sqlite3', [join(root, '.catalog/catalog.sqlite'), sql])).stdout,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
  return self;
}

/** @returns noon, that many days ago */
export function daysAgo(days: number): Date {
  const time = new Date(Date.now() - days * 86_400_000);
  time.setUTCHours(days === 0 ? 0 : 12, 0, 0, 0);
  return time;
}
