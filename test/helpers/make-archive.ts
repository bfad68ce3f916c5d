// Makes an archive as the contract describes it, by `tar`, `zstd`, `sha256sum` and a manifest written by hand: a witness
// that owes nothing to archive/.
import { createHash } from 'node:crypto';
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
  /** Its files by path, latin1, in the place of the one. */
  files?: Record<string, string>;
  /** Rows by table of a database `wiki`. */
  tables?: Record<string, number>;
  /** An age recipient that all but VERSION is encrypted for. */
  recipient?: string;
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
pack() { (cd tree; printf '.\\0'; find . -mindepth 1 -printf '%P\\0') | tar --format=gnu -C tree --null --no-recursion -cf - -T -; }
[ -e files.tar.zst ] || pack | zstd -q -c > files.tar.zst
zstd -q -c list > files.list.zst
if [ -e wiki.sql ]; then zstd -q -c wiki.sql > wiki.sql.zst; fi
if [ -n "$2" ]; then for m in *.zst; do age -r "$2" < $m > $m.age; rm $m; done; fi
pack | wc -c
`;

const MAKE_ARCHIVE = `
set -eu
cd "$1"
tar --format=ustar --blocking-factor=1 --owner=root:0 --group=root:0 --mode=600 -cf "$2.tar" $3 manifest.json
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
    const { files = { 'page.txt': content }, tables, recipient = '' } = options;
    mkdirSync(join(scratch, 'tree'));
    const lines = Object.entries(files).map(([path, text]) => {
      const file = Buffer.concat([Buffer.from(`${scratch}/tree/`), Buffer.from(path, 'latin1')]);
      mkdirSync(file.subarray(0, file.lastIndexOf('/')), { recursive: true });
      writeFileSync(file, text);
      if (options.files !== undefined) utimesSync(file, 1, 1);
      return `${path}\t${Buffer.byteLength(text)}\t1\0`;
    });
    writeFileSync(join(scratch, 'VERSION'), '1.39.17\n');
    writeFileSync(join(scratch, 'list'), lines.join(''), 'latin1');
    if (tables !== undefined) writeFileSync(join(scratch, 'wiki.sql'), 'SELECT 1;\n');
    if (options.tree !== undefined) copyFileSync(options.tree.path, join(scratch, 'files.tar.zst'));
    const { stdout } = await execa('sh', ['-c', MAKE_MEMBERS, 'sh', scratch, recipient]);
    const sealed = recipient === '' ? '' : '.age';
    const treeBytes = options.tree?.uncompressedSizeBytes ?? Number(stdout);
    const parts = [
      { name: 'VERSION', kind: 'version', uncompressedSizeBytes: 8 },
      ...(tables === undefined
        ? []
        : [
            {
              name: 'wiki.sql.zst',
              kind: 'database',
              uncompressedSizeBytes: 10,
              database: { engine: 'mysql', serverVersion: '10.11', name: 'wiki', tables },
            },
          ]),
      {
        name: 'files.tar.zst',
        kind: 'tree',
        uncompressedSizeBytes: treeBytes,
        tree: { root: '/var/lib/mediawiki', fileCount: lines.length },
      },
      {
        name: 'files.list.zst',
        kind: 'list',
        uncompressedSizeBytes: statSync(join(scratch, 'list')).size,
      },
    ];
    let offsetBytes = 512;
    const members = parts.map((part) => {
      const name = part.kind === 'version' ? part.name : part.name + sealed;
      const bytes = readFileSync(join(scratch, name));
      const { name: _, kind, uncompressedSizeBytes, ...more } = part;
      // in the order of the contract
      const member = {
        name,
        kind,
        offsetBytes,
        sizeBytes: bytes.length,
        uncompressedSizeBytes,
        sha256: createHash('sha256').update(bytes).digest('hex'),
        encoding: part.kind === 'version' ? [] : ['zst', ...(recipient === '' ? [] : ['age'])],
        ...more,
      };
      offsetBytes += Math.ceil(bytes.length / 512) * 512 + 512;
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
    await execa('sh', [
      '-c',
      MAKE_ARCHIVE,
      'sh',
      scratch,
      name,
      members.map((member) => member.name).join(' '),
    ]);
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
