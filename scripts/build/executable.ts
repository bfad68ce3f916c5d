// The single executable: Node with the bundle in it, for hosts that have no Node. The same bundle and the same Node give the
// same bytes.
import { copyFileSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

/** Node looks for this in itself. */
const RESOURCE = 'NODE_SEA_BLOB';
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
/** Memory before speed: garner waits for disks and other programs. */
export const NODE_OPTIONS = ['--max-semi-space-size=1', '--disable-warning=ExperimentalWarning'];

/** Writes the executable for this machine's processor. */
export async function buildExecutable(code: string, file: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-build-'));
  try {
    const [main, blob, config] = ['garner.cjs', 'blob', 'config.json'].map((name) =>
      join(directory, name),
    ) as [string, string, string];
    writeFileSync(main, code);
    const settings = {
      main: 'garner.cjs', // its path is in the blob
      output: blob,
      disableExperimentalSEAWarning: true,
      execArgv: NODE_OPTIONS,
      execArgvExtension: 'none', // NODE_OPTIONS is meant for the applications on a host
    };
    writeFileSync(config, JSON.stringify(settings));
    const node = realpathSync(process.execPath);
    await execa(node, ['--experimental-sea-config', config], { cwd: directory });
    copyFileSync(node, file);
    await execa('strip', [file]); // of 18 MB of names
    await inject(file, readFileSync(blob));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** postject has no types, and warns of notes of Node's that have no name. */
async function inject(file: string, blob: Buffer): Promise<void> {
  const postject: string = 'postject';
  const { default: own } = await import(postject);
  const { warn } = console;
  console.warn = () => {};
  try {
    await own.inject(file, RESOURCE, blob, { sentinelFuse: FUSE });
  } finally {
    console.warn = warn;
  }
}
