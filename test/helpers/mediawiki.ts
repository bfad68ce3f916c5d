// A real MediaWiki for tests: Debian's package, set up by its own installer, filled by its own scripts, served by PHP.
// What an archive of it holds (images, extensions, skins, LocalSettings.php) are real files in its directory; its code
// is linked, as Debian's own wikis link it.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32, deflateSync } from 'node:zlib';
import { execa } from 'execa';
import { freePort } from './mariadb.ts';
import { compiledPhp } from './php.ts';

const PACKAGE = '/usr/share/mediawiki';
/** What is not linked: the archive's trees, and what is of no use here. */
const NOT_LINKED = ['LocalSettings.php', 'config', 'extensions', 'extensions-core', 'images', 'skins'];
const START_LIMIT_MS = 30_000;

/** The pages of a new wiki, with what is easily lost on the way; ParserFunctions is one of its extensions. */
export const PAGES: Record<string, string> = {
  'Main Page': 'Welcome. See [[Räksmörgås]] and [[Quotes]].\n\n[[File:Red dot.png]] {{#expr: 6 * 7}}',
  Räksmörgås: 'Emoji 🦔, umlauts äöü, and a [[Media:Notes.txt|file]].',
  Quotes: `It's "quoted", a backslash \\, a ),( and <nowiki>'; DROP TABLE page; --</nowiki>.`,
};

/** The uploaded files of a new wiki. */
export const FILES: Record<string, Uint8Array> = {
  'Red_dot.png': png(255, 0, 0),
  'Notes.txt': Buffer.from('plain text, naïve façade\n'.repeat(200)),
};

export interface Wiki extends AsyncDisposable {
  readonly directory: string;
  readonly localSettings: string;
  readonly images: string;
  /** Where the SQLite files lie; undefined with a database server. */
  readonly dataDirectory: string | undefined;
  readonly databaseName: string;
  readonly url: string;
  /** Runs one of MediaWiki's maintenance scripts, e.g. `createAndPromote`. @returns its stdout */
  maintain(script: string, args: string[], input?: string): Promise<string>;
  /** Makes or changes a page. */
  edit(title: string, text: string): Promise<void>;
  upload(files: Record<string, Uint8Array>): Promise<void>;
  /** @returns a page's HTML as visitors get it, without what differs from one request to the next */
  fetchPage(title: string): Promise<string>;
  /** @returns an uploaded file as visitors get it */
  fetchFile(name: string): Promise<Buffer>;
  /** Serves it (again), always on the same port; createWiki has done so already. */
  serve(): Promise<void>;
  /** Ends the web server; the wiki's files and database stay. */
  stop(): Promise<void>;
}

/**
 * Installs a wiki with PAGES, FILES and a second user, and serves it on a free port.
 * @param options.directory where it is to lie; must not exist
 * @param options.database `sqlite` (its files lie in `<directory>-data`), or the URL of an empty database:
 *   mysql:// or postgresql://user:password@127.0.0.1:port/name
 */
export async function createWiki(options: { directory: string; database: string }): Promise<Wiki> {
  const { directory } = options;
  const database = options.database === 'sqlite' ? undefined : new URL(options.database);
  const dataDirectory = database === undefined ? `${directory}-data` : undefined;
  const databaseName = database?.pathname.slice(1) ?? 'wiki';
  const localSettings = join(directory, 'LocalSettings.php');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = { MW_INSTALL_PATH: directory };

  const compiled = await compiledPhp();
  const maintain: Wiki['maintain'] = async (script, args, input = '') =>
    (
      await execa('php', [...compiled, join(directory, 'maintenance', `${script}.php`), ...args], {
        env,
        input,
      })
    ).stdout;

  layOut(directory);
  const databaseOptions =
    database === undefined
      ? ['--dbtype=sqlite', `--dbpath=${dataDirectory}`]
      : database.protocol === 'mysql:'
        ? ['--dbtype=mysql', `--dbserver=${database.host}`, `--dbuser=${database.username}`]
        : [
            ...['--dbtype=postgres', `--dbserver=${database.hostname}`, `--dbport=${database.port}`],
            ...[`--dbuser=${database.username}`, '--dbschema=mediawiki'],
          ];
  if (database !== undefined) databaseOptions.push(`--dbpass=${decodeURIComponent(database.password)}`);
  await maintain('install', [
    ...databaseOptions,
    ...[`--dbname=${databaseName}`, `--confpath=${directory}`, '--scriptpath=', `--server=${url}`],
    ...['--extensions=ParserFunctions,Poem', '--skins=Vector', '--pass=wiki-admin-1', 'Garner Test', 'Admin'],
  ]);
  await appendFile(
    localSettings,
    `
$wgEnableUploads = true;
$wgUseImageMagick = false;
$wgFileExtensions[] = "txt";
$wgJobRunRate = 0;
$wgCacheDirectory = "$IP/cache"; // not Debian's, which all wikis of the host share
`,
  );

  let server: ReturnType<typeof startServer> | undefined;
  const wiki: Wiki = {
    directory,
    localSettings,
    images: join(directory, 'images'),
    dataDirectory,
    databaseName,
    url,
    maintain,
    async edit(title, text) {
      await maintain('edit', ['--user=Admin', title], text);
    },
    async upload(files) {
      const source = mkdtempSync(join(tmpdir(), 'garner-upload-'));
      for (const [name, data] of Object.entries(files)) writeFileSync(join(source, name), data);
      await maintain('importImages', ['--user=Admin', source]);
      rmSync(source, { recursive: true });
    },
    async fetchPage(title) {
      const html = await get(`${url}/index.php?${new URLSearchParams({ title })}`);
      return html
        .toString('utf8')
        .replace(/<!--.*?-->/gs, '')
        .replace(/"wgRequestId":"[^"]*"|"wgBackendResponseTime":\d+/g, '')
        .replace(/<script>\(RLQ[^<]*"wgPageParseReport".*?<\/script>/gs, ''); // how long it took, and when
    },
    fetchFile: (name) =>
      get(`${url}/index.php?${new URLSearchParams({ title: `Special:Redirect/file/${name}` })}`),
    async serve() {
      server = startServer(directory, port);
      for (const deadline = Date.now() + START_LIMIT_MS; ; await sleep(50)) {
        try {
          await fetch(`${url}/load.php`);
          return;
        } catch (error) {
          if (Date.now() > deadline) throw error;
        }
      }
    },
    async stop() {
      server?.kill('SIGKILL');
      await server;
      server = undefined;
    },
    [Symbol.asyncDispose]: () => wiki.stop(),
  };
  await wiki.upload(FILES);
  // what is linked to comes first: a page that is made within the second leaves the link to it red in the parser cache
  for (const [title, text] of Object.entries(PAGES).reverse()) await wiki.edit(title, text);
  await maintain('createAndPromote', ['Håkan', 'wiki-user-1']);
  await maintain('runJobs', []);
  await wiki.serve();
  return wiki;
}

function layOut(directory: string): void {
  for (const name of ['cache', 'images']) mkdirSync(join(directory, name), { recursive: true });
  for (const name of readdirSync(PACKAGE)) {
    if (!NOT_LINKED.includes(name)) symlinkSync(join(PACKAGE, name), join(directory, name));
  }
  for (const part of ['extensions/ParserFunctions', 'extensions/Poem', 'skins/Vector']) {
    const source = join(PACKAGE, part.replace(/^extensions/, 'extensions-core'));
    cpSync(source, join(directory, part), { recursive: true, dereference: true });
  }
}

function startServer(directory: string, port: number) {
  // setpriv: it ends with the test process, however that ends
  const args = ['--pdeathsig', 'KILL', 'php', '-S', `127.0.0.1:${port}`, '-t', directory];
  return execa('setpriv', args, { env: { MW_INSTALL_PATH: directory }, stdio: 'ignore', reject: false });
}

async function get(url: string): Promise<Buffer> {
  const response = await fetch(url);
  const body = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${url}: ${response.status}: ${body.toString('utf8').slice(0, 1000)}`);
  return body;
}

/** @returns a PNG of one colour */
export function png(red: number, green: number, blue: number, sidePixels = 16): Buffer {
  const row = [0, ...Array<number[]>(sidePixels).fill([red, green, blue]).flat()];
  const header = Buffer.alloc(13);
  header.writeUInt32BE(sidePixels, 0);
  header.writeUInt32BE(sidePixels, 4);
  header.set([8, 2], 8); // 8 bits a channel, RGB
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(Buffer.from(Array<number[]>(sidePixels).fill(row).flat()))),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(data.length, 0);
  chunk.set(body, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}
