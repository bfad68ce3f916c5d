// The demo: the main path on parts that need no server and no root. Makes a small wiki, backs it up, pulls, verifies,
// prunes and restores, and compares the restored wiki with the original. All of it happens below .demo/.
// Exits with 1 where a step does not hold, and says which.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { $ } from 'zx';
import { formatDuration, formatSize, plural } from '../lib/text.ts';

const top = join(import.meta.dirname, '..');
// commands are shown, and run, with paths as seen from the checkout
process.chdir(top);
// settings that others can write are refused
process.umask(0o077);
const wiki = '.demo/wiki';
const database = '.demo/wiki-data/wiki.sqlite';
const store = '.demo/archive/demo/mediawiki';

const foreign = Object.entries(process.env).filter(([name]) => !/^(GARNER|NOTIFY|MEDIAWIKI)_/.test(name));
$.env = {
  ...Object.fromEntries(foreign),
  GARNER_CONFIG_DIR: join(top, '.demo/etc'),
  PATH: `${top}/bin:${process.env.PATH}`,
};
$.quiet = true;
$.nothrow = true;

const say = (text = ''): void => console.log(text);

/** A step of the story that failed. */
class DoesNotHold extends Error {}

function holds(condition: boolean, otherwise: string): void {
  if (!condition) throw new DoesNotHold(otherwise);
}

/** Shows text as something that a program printed; paths in the checkout as they are seen from it. */
function quote(text: string): void {
  if (text !== '') say(text.trimEnd().replaceAll(`${top}/`, '').replace(/^/gm, '   | ').replace(/ +$/gm, ''));
}

/** Shows a shell command, runs it, shows what it prints. @returns its stdout */
async function run(command: string, expectedCode = 0): Promise<string> {
  say(`\n   $ ${command}`);
  const { stdout, stdall, exitCode } = await $`sh -c ${command}`;
  quote(stdall);
  holds(exitCode === expectedCode, `"${command}" exited with ${exitCode}, not ${expectedCode}`);
  return stdout;
}

let steps = 0;
let title = '';

async function step(heading: string, body: () => Promise<void>): Promise<void> {
  steps += 1;
  title = heading;
  const started = Date.now();
  say(`\n${steps}. ${heading}`);
  await body();
  say(`\n   held, in ${formatDuration(Date.now() - started)}`);
}

/** Bytes that don't compress, like those of pictures, the same in each run. */
function noise(seed: string, sizeBytes: number): Buffer {
  return createHash('shake256', { outputLength: sizeBytes }).update(seed).digest();
}

function addAttachments(first: number, count: number): void {
  using db = new DatabaseSync(database);
  const image = db.prepare('INSERT INTO image VALUES (?)');
  for (let number = first; number < first + count; number += 1) {
    const name = `Picture_${number}.png`;
    const hash = createHash('md5').update(name).digest('hex');
    const path = join(wiki, 'images', hash.slice(0, 1), hash.slice(0, 2), name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, noise(name, 50_000 + ((number * 7919) % 250_000)));
    image.run(name);
  }
}

function addPages(first: number, count: number): void {
  using db = new DatabaseSync(database);
  db.exec(`
    CREATE TABLE IF NOT EXISTS page (page_id INTEGER PRIMARY KEY, page_title TEXT NOT NULL UNIQUE, page_latest INTEGER);
    CREATE TABLE IF NOT EXISTS revision (rev_id INTEGER PRIMARY KEY, rev_page INTEGER, rev_comment TEXT, rev_sha1 BLOB);
    CREATE TABLE IF NOT EXISTS text (old_id INTEGER PRIMARY KEY, old_text BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS image (img_name BLOB PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS oldimage (oi_name BLOB, oi_archive_name BLOB, oi_sha1 BLOB, oi_deleted INTEGER);
    CREATE TABLE IF NOT EXISTS filearchive (fa_storage_group BLOB, fa_storage_key BLOB);
    BEGIN`);
  const page = db.prepare('INSERT INTO page VALUES (?, ?, ?)');
  const revision = db.prepare('INSERT INTO revision VALUES (?, ?, ?, ?)');
  const text = db.prepare('INSERT INTO text VALUES (?, ?)');
  for (let id = first; id < first + count; id += 1) {
    const body = `== Page ${id} ==\nIt's "quoted", a backslash \\, a ),( and an 🦔.\n${`Lorem ipsum ${id}. `.repeat(id % 60)}`;
    page.run(id, `Page_${id}`, id);
    revision.run(id, id, id % 3 === 0 ? null : `edit ${id}`, createHash('sha1').update(body).digest());
    text.run(id, Buffer.from(body));
  }
  db.exec('COMMIT');
}

function makeWiki(): void {
  for (const part of ['includes', 'extensions/Poem', 'skins/Vector'])
    mkdirSync(join(wiki, part), { recursive: true });
  mkdirSync(dirname(database));
  writeFileSync(join(wiki, 'includes/Defines.php'), "<?php\ndefine( 'MW_VERSION', '1.43.1' );\n");
  writeFileSync(join(wiki, 'extensions/Poem/extension.json'), '{"name": "Poem"}\n');
  writeFileSync(join(wiki, 'skins/Vector/skin.json'), '{"name": "Vector"}\n');
  writeFileSync(
    join(wiki, 'LocalSettings.php'),
    `<?php
$wgSitename = "Demo";
$wgDBtype = "sqlite";
$wgDBname = "wiki";
$wgSQLiteDataDir = "${dirname(join(top, database))}";
wfLoadSkin( 'Vector' );
wfLoadExtension( 'Poem' );
`,
  );
  addPages(1, 3000);
  addAttachments(1, 40);
}

function configure(): void {
  mkdirSync('.demo/etc');
  mkdirSync('.demo/mail');
  writeFileSync(
    '.demo/sendmail',
    `#!/bin/sh\n# stands in for the host's sendmail: a mail becomes a file\nexec cat >'${top}/.demo/mail/'$$.eml\n`,
    { mode: 0o755 },
  );
  writeFileSync(
    '.demo/etc/garner.env',
    `GARNER_WORK_DIR='${top}/.demo/work'
GARNER_STATE_DIR='${top}/.demo/state'
GARNER_RUN_DIR='${top}/.demo/run'
GARNER_HOST=demo
NOTIFY_EMAIL_TO=admin@example.org
NOTIFY_EMAIL_FROM=garner@example.org
NOTIFY_SENDMAIL='${top}/.demo/sendmail'
`,
  );
  writeFileSync('.demo/etc/agent-mediawiki.env', `MEDIAWIKI_DIR='${top}/${wiki}'\n`);
  writeFileSync(
    '.demo/etc/archiver.yaml',
    `archive: "${top}/.demo/archive"
retention: {last: 3, minimum: 2}
hosts:
  demo:
    url: "${pathToFileURL(`${top}/.demo/work`)}"
    applications: [mediawiki]
    remove: true
`,
  );
}

function describeFiles(directory: string): string {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const sizeBytes = files.reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0);
  return `${plural(files.length, 'file')}, ${formatSize(sizeBytes)}`;
}

/** @returns the rows of each table, and a digest of everything in them */
function contentOf(file: string): Record<string, string> {
  using db = new DatabaseSync(file, { readOnly: true });
  const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all();
  return Object.fromEntries(
    tables.map(({ name }) => {
      const rows = db.prepare(`SELECT * FROM "${name}" ORDER BY 1`).all();
      const hash = createHash('sha256');
      for (const row of rows) {
        for (const value of Object.values(row)) {
          hash
            .update(value instanceof Uint8Array ? Buffer.from(value).toString('hex') : JSON.stringify(value))
            .update('\0');
        }
      }
      return [String(name), `${rows.length} rows, content ${hash.digest('hex').slice(0, 12)}…`];
    }),
  );
}

const archivesIn = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.tar'))
    .sort();

const mails = (): string[] =>
  readdirSync('.demo/mail')
    .map((name) => `.demo/mail/${name}`)
    .sort((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs);

/** Decodes MIME's quoted-printable. */
function unquote(text: string): string {
  const bytes = text.replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Shows a mail's subject and its plain text, as a mail program does. */
function showMail(file: string): void {
  const [head = '', ...parts] = readFileSync(file, 'utf8').split('\n\n');
  const headers = head
    .replace(/\n\s+/g, ' ')
    .replace(/=\?UTF-8\?Q\?(.*?)\?=( (?==\?))?/g, (_, word) => unquote(word.replaceAll('_', ' ')))
    .split('\n')
    .filter((line) => /^(From|To|Subject): /.test(line));
  const end = parts.findIndex((part) => part.includes('Content-Type: text/html'));
  const text = unquote(parts.slice(1, end).join('\n\n').replaceAll('=\n', ''));
  say(`\n   the mail in ${file}:`);
  quote(`${headers.join('\n')}\n\n${text}`);
}

async function story(): Promise<void> {
  await step('A wiki: MediaWiki on SQLite, with uploaded files', async () => {
    makeWiki();
    configure();
    say(`   ${wiki}: ${describeFiles(wiki)}`);
    say(`   ${database}: ${formatSize(statSync(database).size)}`);
    for (const [table, content] of Object.entries(contentOf(database))) say(`     ${table}: ${content}`);
    say('   its settings are in .demo/etc; to type commands yourself:');
    say('   export GARNER_CONFIG_DIR=$PWD/.demo/etc PATH=$PWD/bin:$PATH');
  });

  await step('Backup: notify runs the agent and mails how it went', async () => {
    const archive = (await run('notify -- agent-mediawiki')).trim();
    holds(existsSync(archive), 'there is no archive');
    await run('ls -l .demo/work');
    const [mail] = mails();
    if (mail === undefined) throw new DoesNotHold('no mail was sent');
    showMail(mail);
  });

  await step('The wiki lives on: three more backups, and one that fails', async () => {
    const backUp = async (round: number): Promise<void> => {
      addPages(3000 + round * 10, 10);
      addAttachments(100 + round, 1);
      await run('notify --quiet-ok -- agent-mediawiki');
    };
    for (const round of [1, 2]) await backUp(round);
    await run('MEDIAWIKI_DIR=/no/wiki notify --quiet-ok -- agent-mediawiki', 1);
    const [, failure, ...others] = mails();
    if (failure === undefined || others.length > 0)
      throw new DoesNotHold('not exactly the failure was mailed');
    showMail(failure);
    await backUp(3);
    const [, , recovery] = mails();
    if (recovery === undefined) throw new DoesNotHold('that all is well again was not mailed');
    showMail(recovery);
  });

  await step('Pull: fetched, verified, recorded, and only then removed at the source', async () => {
    holds(archivesIn('.demo/work').length === 4, 'not four archives wait to be pulled');
    await run('archiver init');
    await run('archiver pull --no-prune');
    holds(archivesIn(store).length === 4, 'not all four archives arrived');
    holds(archivesIn('.demo/work').length === 0, 'archives were left at the source');
    await run('archiver list');
  });

  await step('Verify: by garner, and by sha256sum alone', async () => {
    await run('archiver verify');
    await run(`cd ${store} && sha256sum --check *.sha256`);
  });

  await step('Prune: what goes and why, then for real', async () => {
    await run('archiver prune --dry-run --explain');
    holds(archivesIn(store).length === 4, 'the dry run deleted something');
    await run('archiver prune');
    holds(archivesIn(store).length === 3, 'not exactly one archive was deleted');
  });

  const original = contentOf(database);
  const newest = `${store}/${archivesIn(store).at(-1)}`;

  await step('Restore into another place, and compare', async () => {
    await run(`agent-mediawiki restore ${newest} --to .demo/restored`);
    await run(`diff -r ${wiki}/images .demo/restored/images`);
    for (const part of ['extensions', 'skins', 'LocalSettings.php']) {
      await run(`diff -r ${wiki}/${part} .demo/restored/site/${part}`);
    }
    say('\n   no difference; and the database:');
    compareDatabases(original, contentOf('.demo/restored/wiki.sqlite'));
  });

  await step('Restore by hand, with tar and zstd alone', async () => {
    await run(`mkdir -p .demo/by-hand/images && tar -xvf ${newest} -C .demo/by-hand`);
    await run('zstd -dc .demo/by-hand/images.tar.zst | tar -x -C .demo/by-hand/images');
    await run('zstd -dq .demo/by-hand/wiki.dump.zst -o .demo/by-hand/wiki.sqlite');
    await run(`diff -r ${wiki}/images .demo/by-hand/images`);
    compareDatabases(original, contentOf('.demo/by-hand/wiki.sqlite'));
  });
}

function compareDatabases(original: Record<string, string>, restored: Record<string, string>): void {
  for (const [table, content] of Object.entries(original)) {
    const same = restored[table] === content;
    say(`     ${table}: ${restored[table]}, ${same ? 'the same' : `not ${content}`}`);
    holds(same, `table ${table} is not as it was`);
  }
  holds(Object.keys(restored).length === Object.keys(original).length, 'there are other tables');
}

const started = Date.now();
rmSync('.demo', { recursive: true, force: true });
mkdirSync('.demo', { mode: 0o700 });
try {
  if ((await $`zstd --version`).exitCode !== 0) {
    throw new DoesNotHold('zstd is missing, which archives are compressed with: apt-get install zstd');
  }
  say('garner backs up a wiki, and proves that it can be restored.');
  say(`Paths are shown from ${top}; everything lies below .demo there.`);
  await story();
  say(
    `\nAll ${steps} steps held, in ${formatDuration(Date.now() - started)}. .demo is kept until the next run.`,
  );
} catch (error) {
  const where = steps === 0 ? '' : `step ${steps} ("${title}") does not hold: `;
  console.error(`\ndemo: ${where}${error instanceof DoesNotHold ? error.message : (error as Error).stack}`);
  process.exitCode = 1;
}
