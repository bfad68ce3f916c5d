// What is measured against what: each case prepares its data and servers, and gives two commands that do the same work.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { startMariadb } from '../test/helpers/mariadb.ts';
import { startPostgres } from '../test/helpers/postgres.ts';
import { startSshd } from '../test/helpers/sshd.ts';
import { BUCKET_CASES, LARGE_BUCKET_CASES } from './bucket-cases.ts';
import { CATALOG_CASES } from './catalog-cases.ts';
import { fillDatabase, makeFile, makeTree } from './data.ts';
import type { BenchCommand } from './measure.ts';
import { START_CASES } from './start-cases.ts';
import { UPLOAD_CASES } from './upload-cases.ts';

const BIN = join(import.meta.dirname, '../bin');
const PASSWORD = 'bench';

export interface Peer extends BenchCommand {
  name: string;
  /** The ratio garner/peer that is to be reached, of wall time; unset: for comparison. */
  target?: number;
}

export interface Prepared extends AsyncDisposable {
  garner: BenchCommand;
  peers: Peer[];
  /** Run before each measurement, of either side, and not measured: removes what the last one made. */
  reset: string;
}

export interface BenchCase {
  id: string;
  title: string;
  /** What limits it, found by a profile; shown beside the figures. */
  note?: string;
  /** Divides garner's CPU time, for a figure of each host. */
  hosts?: number;
  /** How long garner may take, wall time. */
  limitSeconds?: number;
  prepare(directory: string): Promise<Prepared>;
}

/** garner with directories of its own. */
function settingsIn(directory: string, settings: Record<string, string> = {}): Record<string, string> {
  return {
    GARNER_CONFIG_DIR: join(directory, 'config'),
    GARNER_WORK_DIR: join(directory, 'work'),
    GARNER_RUN_DIR: join(directory, 'run'),
    GARNER_STATE_DIR: join(directory, 'state'),
    GARNER_HOST: 'bench',
    ...settings,
  };
}

const nothing = async (): Promise<void> => {};

async function prepareTree(directory: string, fileCount: number, fileBytes: number): Promise<Prepared> {
  const tree = join(directory, 'tree');
  const out = join(directory, 'out');
  makeTree(tree, fileCount, fileBytes);
  const env = settingsIn(directory, { DIRECTORIES: tree });
  const keys = {
    RESTIC_PASSWORD: PASSWORD,
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
    HOME: directory,
  };
  return {
    garner: { script: `${BIN}/agent-directories`, env },
    peers: [
      {
        name: 'tar, zstd -3 -T0, sha256sum',
        target: 0.95,
        script: `tar -C ${tree} -c . | zstd -q -3 -T0 -o ${out}/a.tar.zst; sha256sum ${out}/a.tar.zst > ${out}/a.sha256`,
      },
      {
        name: 'restic, first run',
        target: 0.6,
        script: `restic -q -r ${out}/restic init; restic -q -r ${out}/restic backup ${tree}`,
        env: keys,
      },
      {
        name: 'borg, first run',
        script: `borg init -e none ${out}/borg; borg create ${out}/borg::a ${tree}`,
        env: keys,
      },
    ],
    reset: `rm -rf ${out} ${directory}/work; mkdir ${out}; sync`,
    [Symbol.asyncDispose]: nothing,
  };
}

async function prepareMariadb(directory: string, rows: number): Promise<Prepared> {
  const server = await startMariadb();
  const url = await server.createDatabase('wiki', 'backup', PASSWORD);
  await fillDatabase(server, 'wiki', rows);
  const out = join(directory, 'out');
  const client = `mariadb-dump --no-defaults --socket=${server.socket} --user=root --single-transaction --quick --routines --events --hex-blob --no-tablespaces wiki`;
  return {
    garner: { script: `${BIN}/agent-mariadb`, env: settingsIn(directory, { GARNER_DATABASE_URL: url }) },
    peers: [
      {
        name: 'mariadb-dump, zstd, sha256sum',
        target: 1.25,
        script: `${client} | zstd -q -3 -T0 -o ${out}/a.sql.zst; sha256sum ${out}/a.sql.zst > ${out}/a.sha256`,
      },
    ],
    reset: `rm -rf ${out} ${directory}/work; mkdir ${out}; sync`,
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

async function preparePostgres(directory: string, rows: number): Promise<Prepared> {
  const server = await startPostgres();
  const url = await server.createDatabase('wiki', 'backup', PASSWORD);
  await server.query(
    `SET ROLE backup; CREATE TABLE text AS SELECT i AS id, 'Page ' || i AS title,
     md5(i::text) || repeat(' ' || md5((i * 7)::text) || ' it''s ' || i, 20) AS body, now() AS touched FROM generate_series(1, ${rows}) i`,
    'wiki',
  );
  const out = join(directory, 'out');
  const dump = `pg_dump -h ${server.socketDir} -p ${server.port} -U root -d wiki`;
  return {
    garner: { script: `${BIN}/agent-postgres`, env: settingsIn(directory, { GARNER_DATABASE_URL: url }) },
    peers: [
      {
        name: 'pg_dump -Fc -Z0, zstd, sha256sum',
        script: `${dump} -Fc -Z0 | zstd -q -3 -T0 -o ${out}/a.dump.zst; sha256sum ${out}/a.dump.zst > ${out}/a.sha256`,
      },
      {
        name: 'pg_dump -Fc',
        script: `${dump} -Fc -f ${out}/a.dump; sha256sum ${out}/a.dump > ${out}/a.sha256`,
      },
    ],
    reset: `rm -rf ${out} ${directory}/work; mkdir ${out}; sync`,
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

/** Makes an archive of a tree, as an agent does. @returns its path */
async function makeArchiveOf(directory: string, tree: string): Promise<string> {
  const env = settingsIn(directory, { DIRECTORIES: tree });
  return (await execa(join(BIN, 'agent-directories'), { env })).stdout.trim();
}

interface Fleet {
  sshd: Awaited<ReturnType<typeof startSshd>>;
  reset: string;
  garner: BenchCommand;
}

/** @param clear what removes the paths behind it */
async function prepareFleet(
  directory: string,
  hosts: Record<string, string>,
  clear = 'rm -rf',
): Promise<Fleet> {
  const sshd = await startSshd({ config: 'ForceCommand none' });
  const store = join(directory, 'store');
  const config = join(directory, 'config');
  mkdirSync(config, { recursive: true });
  const lines = Object.entries(hosts).map(
    ([name, workDir]) =>
      `  ${name}: {url: "${sshd.url(workDir)}", identityFile: ${sshd.identityFile}, hostKeys: ["${sshd.hostKeys.ed25519}"]}\n`,
  );
  writeFileSync(join(config, 'archiver.yaml'), `archive: ${store}\nhosts:\n${lines.join('')}`, {
    mode: 0o600,
  });
  const env = settingsIn(directory);
  const shown = Object.entries(env)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
  return {
    sshd,
    garner: { script: `${BIN}/archiver pull`, env },
    reset: `${clear} ${store} ${directory}/out; mkdir ${directory}/out; ${shown} ${BIN}/archiver init >/dev/null 2>&1; sync`,
  };
}

const sshOptions = ({ port, identityFile }: Fleet['sshd']): string =>
  `-i ${identityFile} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o Port=${port}`;

async function preparePull(directory: string, bytes: number): Promise<Prepared> {
  const tree = join(directory, 'tree');
  mkdirSync(tree);
  makeFile(join(tree, 'file'), bytes);
  const path = await makeArchiveOf(directory, tree);
  const { sshd, reset, garner } = await prepareFleet(directory, { bench: join(directory, 'work') });
  const out = join(directory, 'out');
  return {
    garner,
    peers: [
      {
        name: 'scp, sha256sum',
        target: 0.8,
        script: `scp -q ${sshOptions(sshd)} ${sshd.user}@127.0.0.1:${path} ${path}.sha256 ${out}/; cd ${out}; sha256sum -c --quiet *.sha256`,
      },
    ],
    reset,
    [Symbol.asyncDispose]: () => sshd.stop(),
  };
}

async function preparePullMany(directory: string, count: number, bytes: number): Promise<Prepared> {
  const tree = join(directory, 'tree');
  mkdirSync(tree);
  makeFile(join(tree, 'file'), bytes);
  const path = await makeArchiveOf(directory, tree);
  const workDir = join(directory, 'many');
  mkdirSync(workDir);
  const sha256 = (await execa('sha256sum', [path])).stdout.slice(0, 64);
  for (let i = 0; i < count; i += 1) {
    const time = new Date(Date.UTC(2026, 0, 1) + i * 60_000).toISOString().replace(/[-:]|\.\d+/g, '');
    const name = `directories-bench-${time}.tar`;
    await execa('cp', ['--reflink=auto', path, join(workDir, name)]);
    writeFileSync(join(workDir, `${name}.sha256`), `${sha256}  ${name}\n`);
  }
  // ext4 without a journal passes over each inode that was freed in the last minutes: that was a quarter of the next run
  const aside = `aside() { for path; do [ ! -e $path ] || mv $path ${directory}/old.$(date +%s%N); done; }; aside`;
  const { sshd, reset, garner } = await prepareFleet(directory, { bench: workDir }, aside);
  const out = join(directory, 'out');
  const rsync = `rsync -a -e "ssh ${sshOptions(sshd)}"`;
  const from = `${sshd.user}@127.0.0.1:${workDir}/ ${out}/`;
  return {
    garner,
    peers: [
      { name: 'rsync', target: 1.25, script: `${rsync} ${from}` },
      {
        name: 'rsync --fsync, sha256sum, each member through zstd -t',
        script: `${rsync} --fsync ${from}; cd ${out}; sha256sum -c --quiet *.sha256; for a in *.tar; do for m in $(tar -tf $a | grep zst); do tar -xOf $a $m | zstd -q -t; done; done`,
      },
    ],
    reset,
    [Symbol.asyncDispose]: () => sshd.stop(),
  };
}

async function preparePoll(directory: string, count: number): Promise<Prepared> {
  const names = Array.from({ length: count }, (_, i) => `host${i}`);
  const hosts = Object.fromEntries(names.map((name) => [name, join(directory, 'hosts', name)]));
  for (const path of Object.values(hosts)) mkdirSync(path, { recursive: true });
  const { sshd, reset, garner } = await prepareFleet(directory, hosts);
  const sftp = `sftp -q -b - ${sshOptions(sshd)} ${sshd.user}@127.0.0.1`;
  const all = `${directory}/hosts`; // one word for each of a thousand would be too long for a command line
  const script = `for host in $(ls ${all}); do echo ls | ${sftp}:${all}/$host >/dev/null; done`;
  return {
    garner,
    peers: [{ name: 'sftp, one host after the other', script }],
    reset,
    [Symbol.asyncDispose]: () => sshd.stop(),
  };
}

export const BENCH_CASES: readonly BenchCase[] = [
  {
    id: 'tree',
    title:
      'an agent on a tree of 20,000 files, 1.5 GB, 70 % of it incompressible: archived, hashed, read back',
    note: 'Beyond what the first peer does, garner makes the archive durable, reads it back from the file and hashes it twice (SHA-256, SHA-1), in two threads; a run has two processors, and zstd takes both. Of its CPU, by `perf record -F 199 -g node --perf-basic-prof cli/main.ts agent-directories` and `perf report --sort comm`: tar 31 %, zstd 26 %, the main thread 31 % (half of it in the kernel: writing, syncing, reading back; SHA-256 of what is written and of what is read back 11 %, CRC 4 %), the thread for SHA-1 8 %, collecting garbage 3 %. A pipe of 64 KB or of 1 MB between tar and zstd, in the place of the socket that Node makes, changes nothing that can be told from noise.',
    prepare: (directory) => prepareTree(directory, 20_000, 75_000),
  },
  {
    id: 'mariadb',
    title: 'an agent on a MariaDB database, 480 MB of SQL: dumped, rows counted, read back',
    prepare: (directory) => prepareMariadb(directory, 500_000),
  },
  {
    id: 'postgres',
    title: 'an agent on a PostgreSQL database, 450 MB: dumped, rows counted, proved by pg_restore, read back',
    prepare: (directory) => preparePostgres(directory, 500_000),
  },
  {
    id: 'pull',
    title: 'a pull of one archive of 2 GB over SFTP: hashed, read back member by member, recorded',
    note: "The main thread receives, decrypts and writes; another one follows the file, hashes it three times (SHA-256 and SHA-1 of the whole, SHA-256 of each member) and decompresses every member, so that verifying ends with the transfer. What limited it, by `node --trace-gc` and `perf record -F 299 -g`: more than half of the CPU went into marking V8's heap, 206 times, once for each 9 MB of buffers that ssh2 leaves. Now V8 waits for twice its heap, and blocks and the socket's buffer are used again: 10 times, 9.9 s of CPU instead of 21.1, 216 MB instead of 274 (medians of two alternating pairs at load 17). Of what is left: main thread 40 % (switching threads and the kernel's part of the socket most of all; decryption 7 %, half of it making a cipher for each packet of 32 KB), the thread behind it 34 % (hashes 21 %), writing, syncing and decompressing 15 %, collecting garbage 9 %. With the 3 s or so that sshd takes (reckoned), that is 13 s of CPU on two processors, for scp and sha256sum about 8: the rest is reading back, three digests in the place of one, and ssh2. scp neither reads back nor syncs.",
    prepare: (directory) => preparePull(directory, 2 * 2 ** 30),
  },
  {
    id: 'pull-many',
    title: 'a pull of 2,000 archives of 100 KB over SFTP: each hashed, made durable, read back, recorded',
    note: "Sixteen of these small archives are fetched at once, those that are ready together share the sync of their directory and one transaction of the catalog; still each takes two syncs of its own, some twenty operations on files and 13 requests to the host, where rsync asks for no sync and streams. It took 19.7 s of CPU and takes 10.3 (at load 17; the first of these with four at once, expected errors and stacks, and inodes freed by the run before, which ext4 without a journal passes over: a quarter of the time). By `perf record -F 199 -g node --perf-basic-prof cli/main.ts archiver pull`, of what is left: main thread 77 % (requests to the host 11 %, of which each packet's cipher 6 %; verifying members 6 %; keeping what is in them 6 %; SQLite 4 %), collecting garbage 16 %, syncs 7 %; a quarter is in the kernel. The second peer does about as much with programs.",
    prepare: (directory) => preparePullMany(directory, 2000, 100_000),
  },
  {
    id: 'poll-10',
    title: 'a poll of 10 hosts without news',
    hosts: 10,
    prepare: (directory) => preparePoll(directory, 10),
  },
  {
    id: 'poll',
    title: 'a poll of 100 hosts without news',
    hosts: 100,
    prepare: (directory) => preparePoll(directory, 100),
  },
  ...UPLOAD_CASES,
  ...BUCKET_CASES,
  ...CATALOG_CASES,
  ...START_CASES,
];

export const LARGE_CASES: readonly BenchCase[] = [
  {
    id: 'tree-10gb',
    title: 'an agent on a tree of 20,000 files, 10 GB: time and memory grow as they should',
    prepare: (directory) => prepareTree(directory, 20_000, 500_000),
  },
  {
    id: 'poll-1000',
    title: 'a poll of 1,000 hosts without news',
    hosts: 1000,
    prepare: (directory) => preparePoll(directory, 1000),
  },
  ...LARGE_BUCKET_CASES,
];
