// Makes an archive as the contract describes it, by `tar`, `zstd`, `sha256sum` and a manifest written by hand: a witness
// that owes nothing to archive/.
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

export interface ArchiveOptions {
  host: string;
  /** Of the name and the manifest. */
  time: Date;
  application?: string;
  instance?: string;
  /** What its one file holds. */
  content?: string | Buffer;
  /** Replaces fields of the manifest, to make it lie; a text replaces all of it. */
  manifest?: Record<string, unknown> | string;
  /** Takes the place of the tree's member, with the size that the manifest gives it. */
  tree?: { path: string; uncompressedSizeBytes: number };
}

export interface MadeArchive {
  /** Without `.tar`. */
  name: string;
  path: string;
  sha256: string;
  sizeBytes: number;
}

const MAKE_MEMBERS = `
set -eu
cd "$1"
[ -e files.tar.zst ] || tar --format=gnu -C tree -cf - . | zstd -q -c > files.tar.zst
zstd -q -c list > files.list.zst
sha256sum VERSION files.tar.zst files.list.zst
tar --format=gnu -C tree -cf - . | wc -c
`;

const MAKE_ARCHIVE = `
set -eu
cd "$1"
tar --format=ustar --blocking-factor=1 --owner=root:0 --group=root:0 --mode=600 -cf "$2.tar" VERSION files.tar.zst files.list.zst manifest.json
sha256sum "$2.tar" > "$2.tar.sha256"
sha1sum "$2.tar" > "$2.tar.sha1"
`;

/** @returns `20260731T021500Z` */
export function stamp(time: Date): string {
  return time
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:]/g, '');
}

/** Puts an archive and its checksum files into a directory. */
export async function makeArchive(directory: string, options: ArchiveOptions): Promise<MadeArchive> {
  const {
    host,
    time,
    application = 'mediawiki',
    instance,
    content = `made ${time.toISOString()}\n`,
  } = options;
  const scratch = mkdtempSync(join(tmpdir(), 'garner-make-archive-'));
  try {
    mkdirSync(join(scratch, 'tree'));
    writeFileSync(join(scratch, 'tree', 'page.txt'), content);
    writeFileSync(join(scratch, 'VERSION'), '1.39.17\n');
    writeFileSync(join(scratch, 'list'), `page.txt\t${Buffer.byteLength(content)}\t1\0`);
    if (options.tree !== undefined) copyFileSync(options.tree.path, join(scratch, 'files.tar.zst'));
    const { stdout } = await execa('sh', ['-c', MAKE_MEMBERS, 'sh', scratch]);
    const lines = stdout.split('\n');
    const uncompressed = [
      8,
      options.tree?.uncompressedSizeBytes ?? Number(lines[3]),
      statSync(join(scratch, 'list')).size,
    ];
    let offsetBytes = 512;
    const members = ['VERSION', 'files.tar.zst', 'files.list.zst'].map((name, index) => {
      const sizeBytes = statSync(join(scratch, name)).size;
      const member = {
        name,
        kind: ['version', 'tree', 'list'][index],
        offsetBytes,
        sizeBytes,
        uncompressedSizeBytes: uncompressed[index],
        sha256: (lines[index] as string).slice(0, 64),
        encoding: index === 0 ? [] : ['zst'],
        ...(index === 1 && { tree: { root: '/var/lib/mediawiki', fileCount: 1 } }),
      };
      offsetBytes += Math.ceil(sizeBytes / 512) * 512 + 512;
      return member;
    });
    const manifest = {
      format: 1,
      application,
      instance: instance ?? null,
      host,
      version: '1.39.17',
      startedAt: time.toISOString(),
      finishedAt: new Date(time.getTime() + 1000).toISOString(),
      tool: { name: 'garner', version: '0.1.0' },
      members,
      warnings: [],
      ...(typeof options.manifest === 'object' && options.manifest),
    };
    writeFileSync(
      join(scratch, 'manifest.json'),
      typeof options.manifest === 'string' ? options.manifest : JSON.stringify(manifest),
    );
    const name = `${application}${instance === undefined ? '' : `.${instance}`}-${host}-${stamp(time)}`;
    await execa('sh', ['-c', MAKE_ARCHIVE, 'sh', scratch, name]);
    mkdirSync(directory, { recursive: true });
    for (const suffix of ['.tar.sha256', '.tar.sha1', '.tar']) {
      copyFileSync(join(scratch, name + suffix), join(directory, name + suffix));
      utimesSync(join(directory, name + suffix), time, time);
    }
    const path = join(directory, `${name}.tar`);
    const sha256 = readFileSync(`${path}.sha256`, 'utf8').slice(0, 64);
    return { name, path, sha256, sizeBytes: statSync(path).size };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
