// Archive stores as they are after years, made in seconds: the catalog's rows are written at once, and the archives are
// either real ones with long lists of files, or as large as they say and empty.
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { zstdCompressSync } from 'node:zlib';
import { createCatalog } from '../../archiver/catalog/catalog.ts';
import { buildTar } from './foreign-archive.ts';
import { stamp } from './make-archive.ts';

const DAY_MS = 86_400_000;

export interface LargeStore {
  hosts: number;
  /** Of each host, one a day. */
  archives: number;
  /** In each archive's list; 0: the archives are empty. */
  files: number;
}

/** Makes an archive store with its catalog, and archiver.yaml beside it. */
export function makeLargeStore(directory: string, { hosts, archives, files }: LargeStore): void {
  const root = join(directory, 'store');
  const catalog = join(root, '.catalog/catalog.sqlite');
  mkdirSync(root);
  writeFileSync(join(root, '.garner-archive'), '');
  const names = Array.from({ length: hosts }, (_, i) => `host${i}`);
  const lines = names.map((name) => `  ${name}: {url: "file:///nowhere/${name}"}\n`);
  const retention = 'retention: {daily: 7, weekly: 4, monthly: 12, minimum: 2}';
  writeFileSync(
    join(directory, 'archiver.yaml'),
    `archive: ${root}\n${retention}\nhosts:\n${lines.join('')}`,
    {
      mode: 0o600,
    },
  );
  createCatalog(catalog);
  const rows: string[][] = [];
  const newest = Date.now() - DAY_MS;
  for (const host of names) {
    const group = join(root, host, 'mediawiki');
    mkdirSync(group, { recursive: true });
    for (let age = archives; age > 0; age -= 1) {
      const time = new Date(newest - age * DAY_MS);
      const name = `mediawiki-${host}-${stamp(time)}`;
      const bytes = files === 0 ? undefined : listedArchive(host, time, files);
      const sizeBytes = bytes?.length ?? 1_000_000 + age;
      const fd = openSync(join(group, `${name}.tar`), 'w');
      if (bytes === undefined) ftruncateSync(fd, sizeBytes);
      else writeFileSync(fd, bytes);
      closeSync(fd);
      const sha256 = createHash('sha256')
        .update(bytes ?? name)
        .digest('hex');
      rows.push([name, host, time.toISOString(), `${sizeBytes}`, sha256]);
    }
  }
  const db = new DatabaseSync(catalog);
  db.exec('BEGIN');
  const insert = db.prepare(
    `INSERT INTO archives VALUES (?1, ?2, 'mediawiki', '', ?3, 'manifest', ?3, CAST(?4 AS INTEGER), ?5, NULL, 'content', ?6, NULL, 'present', 0)`,
  );
  const verifiedAt = new Date(Date.now() + 2).toISOString(); // after the last change of the files
  for (const row of rows) insert.run(...row, verifiedAt);
  db.exec('COMMIT');
  db.close();
}

/** @returns an archive as an agent makes it, but for its tree: of a wiki in which every hundredth file is new each day */
function listedArchive(host: string, time: Date, files: number): Buffer {
  const day = Math.floor(time.getTime() / DAY_MS);
  const list = Array.from({ length: files }, (_, i) => {
    const changed = i % 100 === day % 100 ? day : 20_000;
    return `images/${i % 16}/${i % 256}/Picture_of_something_${i}.jpg\t${(i * 7919) % 1_000_000}\t${changed * 86_400 + i}\0`;
  }).join('');
  const tree = zstdCompressSync(Buffer.alloc(1024));
  const bodies = {
    VERSION: Buffer.from('1.39.17\n'),
    'files.tar.zst': tree,
    'files.list.zst': zstdCompressSync(list),
  };
  const original = [8, 1024, list.length];
  const members = Object.entries(bodies).map(([name], index) => ({
    name,
    kind: ['version', 'tree', 'list'][index],
    uncompressedSizeBytes: original[index],
    encoding: index === 0 ? [] : ['zst'],
    ...(index === 1 && { tree: { root: '/var/lib/mediawiki', fileCount: files } }),
  }));
  return buildTar({
    entries: Object.entries(bodies).map(([name, body]) => ({ name, body })),
    manifest: {
      ...{ format: 1, application: 'mediawiki', instance: null, host, version: '1.39.17' },
      startedAt: time.toISOString(),
      finishedAt: time.toISOString(),
      tool: { name: 'garner', version: '0.1.0' },
      members,
      warnings: [],
    },
  });
}
