// The archiver's catalog when it has grown: looking for a file in a thousand archives, listing, pruning and checking a hundred thousand.
import { join } from 'node:path';
import { type LargeStore, makeLargeStore } from '../test/helpers/large-store.ts';
import type { BenchCase, Peer, Prepared } from './cases.ts';

const ARCHIVER = join(import.meta.dirname, '../bin/archiver');

function prepareStore(
  directory: string,
  store: LargeStore,
  command: string,
  peer: (root: string) => Peer,
): Prepared {
  makeLargeStore(directory, store);
  const env = { GARNER_CONFIG_DIR: directory, GARNER_RUN_DIR: join(directory, 'run') };
  return {
    // prune refuses to delete so much at once, as it should, and ends with 1
    garner: { script: `${ARCHIVER} ${command} > ${directory}/out 2>&1 || true`, env },
    peers: [peer(join(directory, 'store'))],
    reset: `rm -f ${directory}/out`,
    [Symbol.asyncDispose]: async () => {},
  };
}

const LARGE: LargeStore = { hosts: 1000, archives: 100, files: 0 };

const walk = (root: string): Peer => ({
  name: 'find -printf, sort: of the store',
  script: `find ${root} -name '*.tar' -printf '%h %f %s %C@\\n' | sort > /dev/null`,
});

export const CATALOG_CASES: readonly BenchCase[] = [
  {
    id: 'find',
    title: 'a file looked for in 1,000 archives of 5,000 files each, of 10 hosts',
    limitSeconds: 1,
    prepare: async (directory) =>
      prepareStore(
        directory,
        { hosts: 10, archives: 100, files: 5000 },
        'find Picture_of_something_4711.jpg',
        (root) => ({
          name: 'tar, zstd, grep over the lists in the archives',
          script: `for a in $(find ${root} -name '*.tar'); do tar -xOf $a files.list.zst | zstd -q -d | tr '\\0' '\\n' | grep Picture_of_something_4711.jpg; done > /dev/null`,
        }),
      ),
  },
  {
    id: 'list',
    title: '100,000 archives of 1,000 hosts listed',
    limitSeconds: 2,
    prepare: async (directory) => prepareStore(directory, LARGE, 'list', walk),
  },
  {
    id: 'prune',
    title: '100,000 archives of 1,000 hosts: what retention would let go, each looked at on the disk',
    limitSeconds: 2,
    prepare: async (directory) => prepareStore(directory, LARGE, 'prune --dry-run', walk),
  },
  {
    id: 'check-100k',
    title: '100,000 archives of 1,000 hosts checked',
    limitSeconds: 2,
    prepare: async (directory) => prepareStore(directory, LARGE, 'check --nagios', walk),
  },
];
