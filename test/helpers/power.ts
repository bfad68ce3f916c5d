// A disk that loses its power: a loop-mounted file system of its own, on which everything that was not synced is gone
// after a cut. Nothing else of the machine is touched; the mount is undone with the test, however that ends.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { onTestFinished } from 'vitest';

export const FILE_SYSTEMS = ['ext4', 'xfs'] as const;
export type FileSystem = (typeof FILE_SYSTEMS)[number];

/** What the journal gets before the power goes: nothing, or the names without the bytes of files that were not synced. */
export const CUTS = ['at once', 'after the journal'] as const;
export type Cut = (typeof CUTS)[number];

export interface Disk {
  /** Where it is mounted. */
  readonly path: string;
  /** From here on nothing reaches the disk. */
  cut(how: Cut): Promise<void>;
  /** Mounts it again, as after a reboot; what had files open on it must have ended. */
  reboot(): Promise<void>;
}

/** Makes a small disk with an empty file system, for the test that is under way. */
export async function makeDisk(kind: FileSystem): Promise<Disk> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-disk-'));
  const [image, path] = [join(directory, 'image'), join(directory, 'disk')];
  mkdirSync(path);
  const mount = () => execa('mount', ['-o', 'loop', image, path]);
  const unmount = async (): Promise<void> => {
    for (let tries = 1; ; tries += 1) {
      const { exitCode, stderr } = await execa('umount', [path], { reject: false });
      if (exitCode === 0 || stderr.includes('not mounted')) return;
      if (tries === 100) throw new Error(stderr);
      await sleep(50); // a process that was killed may be about to let go of it
    }
  };
  onTestFinished(async () => {
    // a test that ran out of its time may still have files open there
    await unmount().catch(() => execa('umount', ['--lazy', path]));
    rmSync(directory, { recursive: true });
  });
  // the least that mkfs.xfs makes; the file is sparse
  await execa('truncate', ['-s', '300M', image]);
  await execa(`mkfs.${kind}`, ['-q', image]);
  await mount();
  await execa('chmod', ['700', path]);
  return {
    path,
    async cut(how) {
      await execa('xfs_io', ['-x', '-c', how === 'at once' ? 'shutdown' : 'shutdown -f', path]);
    },
    async reboot() {
      await unmount();
      await mount();
    },
  };
}

/** @returns whether this machine can do it: root, loop devices, the programs, and a kernel with the file system */
export function canCutPower(kind: FileSystem): boolean {
  try {
    if (process.getuid?.() !== 0) return false;
    const script = `for program in strace xfs_io mkfs.${kind}; do command -v "$program" || exit 1; done
      modprobe -q -a loop ${kind}; grep -qw ${kind} /proc/filesystems && losetup -f`;
    execFileSync('sh', ['-c', script], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
