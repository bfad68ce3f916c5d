// A container for tests, by Podman: the system of this machine as its own, over which it writes into a layer of its own, with
// its own processes, files, names and network. It needs no image and no registry, and ends with the test process.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

export interface TestContainer extends AsyncDisposable {
  readonly name: string;
  /** What Podman keeps of it. */
  readonly directory: string;
  /** What a program needs in its environment to find the container. */
  readonly env: Record<string, string>;
  /** Its files, as this machine sees them. */
  readonly root: string;
  /** Runs a program on this machine in the container's network. */
  readonly inNetwork: string[];
  /** Runs a program in the container. @returns its output */
  exec(...command: string[]): Promise<string>;
  /** @returns what runs in there besides what keeps it up: command lines, one each */
  processes(): Promise<string[]>;
  /** Stops it; it stays. */
  stop(): Promise<void>;
}

/** @param network as Podman calls it: `host` is that of the test itself */
export async function startContainer(
  name = 'database-1',
  network: 'none' | 'host' = 'none',
): Promise<TestContainer> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-container-'));
  const at = (name: string): string => join(directory, name);
  for (const name of ['graph', 'run', 'tmp']) mkdirSync(at(name));
  writeFileSync(
    at('storage.conf'),
    `[storage]\ndriver = "vfs"\ngraphroot = "${at('graph')}"\nrunroot = "${at('run')}"\n`,
  );
  writeFileSync(
    at('containers.conf'),
    `[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\ntmp_dir = "${at('tmp')}"\n`,
  );
  const env = {
    CONTAINERS_STORAGE_CONF: at('storage.conf'),
    CONTAINERS_CONF: at('containers.conf'),
    GARNER_CONTAINER_ENGINE: 'podman',
  };
  const podman = (...args: string[]) => execa('podman', args, { env });
  const running = execa(
    'podman',
    [
      ...['run', '--interactive', '--name', name, '--network', network, '--cgroupns=host'],
      // where a test may not raise limits, Podman's own would fail
      ...['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
      ...['--rootfs', '/:O', 'sh', '-c', 'echo up; exec cat'],
    ],
    { env, stdin: 'pipe', reject: false, buffer: { stdout: false } },
  );
  const first = new Promise((up) => running.stdout?.once('data', up));
  const ended = await Promise.race([first.then(() => undefined), running]);
  const remove = async (): Promise<void> => {
    running.stdin?.end();
    await running;
    await podman('rm', '--force', '--time', '0', name).catch(() => {});
    // not into what is still mounted there: this machine's own files
    await execa('rm', ['-rf', '--one-file-system', directory]);
  };
  if (ended !== undefined) {
    await remove();
    throw new Error(`podman run: ${ended.stderr}`);
  }
  const { stdout: pid } = await podman('inspect', '--format', '{{.State.Pid}}', name);
  return {
    name,
    directory,
    env,
    root: `/proc/${pid}/root`,
    inNetwork: ['nsenter', `--net=/proc/${pid}/ns/net`],
    exec: async (...command) => (await podman('exec', name, ...command)).stdout,
    async processes() {
      const { stdout } = await podman('exec', name, 'ps', '-eo', 'args=');
      return stdout.split('\n').filter((line) => !/^(cat|ps -eo args=)$/.test(line));
    },
    async stop() {
      running.stdin?.end();
      await running;
    },
    [Symbol.asyncDispose]: remove,
  };
}
