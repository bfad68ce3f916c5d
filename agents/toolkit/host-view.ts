// The application's own configuration, read as it is on this host. While an archive is restored, files that it brings
// are seen in place of those that will be replaced.
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve as resolvePath } from 'node:path';
import { cannot } from '../../lib/errors.ts';

/** A configuration file larger than this is none. */
const MAX_TEXT_BYTES = 16 << 20;

/** A directory that will stand at `root` after the restore. */
export interface Overlay {
  root: string;
  staged: string;
}

export interface HostView {
  /** @throws application-configuration where the file is missing, unreadable or absurdly large */
  readText(path: string): string;
  exists(path: string): boolean;
  /** @returns what a directory holds, sorted; nothing where there is none */
  names(directory: string): string[];
  /** @returns where a file or directory can be read now: for programs that read it themselves */
  locate(path: string): string;
  /** @returns the path without links; as given, or where its link leads, where that doesn't exist */
  resolve(path: string): string;
}

/** A link whose target is yet to be restored leads there all the same. */
function danglingTarget(path: string): string {
  try {
    return resolvePath(dirname(path), readlinkSync(path));
  } catch {
    return path;
  }
}

export function hostView(overlays: readonly Overlay[] = []): HostView {
  const resolve = (path: string): string => (existsSync(path) ? realpathSync(path) : danglingTarget(path));
  const locate = (path: string): string => {
    for (const candidate of [path, resolve(path)]) {
      for (const { root, staged } of overlays) {
        const below = relative(root, candidate);
        if (below.startsWith('..')) continue;
        const inArchive = join(staged, below);
        if (existsSync(inArchive)) return inArchive;
      }
    }
    return path;
  };
  return {
    resolve,
    locate,
    exists: (path) => existsSync(locate(path)),
    names(directory) {
      const real = locate(directory);
      return statSync(real, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(real).sort() : [];
    },
    readText(path) {
      const real = locate(path);
      try {
        const stat = statSync(real);
        if (!stat.isFile()) throw new Error('it is no regular file'); // a fifo would be waited for without end
        const { size } = stat;
        if (size > MAX_TEXT_BYTES) throw new Error(`it has ${size} bytes`);
        return readFileSync(real, 'utf8').replace(/^\uFEFF/, '');
      } catch (error) {
        throw cannot('application-configuration', 'read configuration', path, error);
      }
    },
  };
}
