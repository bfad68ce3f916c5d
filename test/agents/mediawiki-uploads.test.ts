// The files of a real MediaWiki against the rows of its database: no false alarm after everything that MediaWiki itself does
// with files, and each damage named.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startMariadb } from '../helpers/mariadb.ts';
import { createWiki, png, type Wiki } from '../helpers/mediawiki.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

const pathOf = (name: string): string => {
  const hash = createHash('md5').update(name).digest('hex');
  return `${hash.slice(0, 1)}/${hash.slice(0, 2)}/${name}`;
};

/** Runs PHP within the wiki. */
const evaluate = (wiki: Wiki, code: string): Promise<string> =>
  wiki.maintain('eval', [], `${code.replaceAll('\n', ' ')}\n`);

/** What users do with files: again uploaded, deleted, an old version hidden. Of the last there is no script. */
async function useFiles(wiki: Wiki): Promise<void> {
  const upload = async (name: string, data: Buffer): Promise<void> => {
    const source = mkdtempSync(join(tmpdir(), 'garner-upload-'));
    writeFileSync(join(source, name), data);
    await wiki.maintain('importImages', ['--user=Admin', '--overwrite', source]);
    rmSync(source, { recursive: true });
  };
  await upload('Röd ruta.png', png(200, 0, 0));
  await upload('Röd ruta.png', png(100, 0, 0));
  await upload('Hidden.PNG', png(0, 200, 0));
  await upload('Hidden.PNG', png(0, 100, 0));
  await upload('Deleted.png', png(0, 0, 200));
  await upload('Deleted.png', png(0, 0, 100));
  writeFileSync(join(wiki.directory, 'titles'), 'File:Deleted.png\n');
  await wiki.maintain('deleteBatch', ['-u', 'Admin', join(wiki.directory, 'titles')]);
  rmSync(join(wiki.directory, 'titles'));
  const hidden = await evaluate(
    wiki,
    `$user = User::newFromName( 'Admin' );
     $title = Title::makeTitle( NS_FILE, 'Hidden.PNG' );
     $context = new DerivativeContext( RequestContext::getMain() );
     $context->setUser( $user );
     $old = MediaWiki\\MediaWikiServices::getInstance()->getRepoGroup()->getLocalRepo()->newFile( $title )->getHistory();
     $list = RevisionDeleter::createList( 'oldimage', $context, $title, [ explode( '!', $old[0]->getArchiveName() )[0] ] );
     echo $list->setVisibility( [ 'value' => [ File::DELETED_FILE => 1 ], 'comment' => '' ] )->isGood() ? 'it is ' . 'hidden' : 'not';`,
  );
  expect(hidden).toContain('it is hidden');
}

interface Server {
  database: string;
  stop(): Promise<unknown>;
  /** Makes its database anew. */
  empty?(): Promise<void>;
}

const ENGINES = {
  SQLite: async (): Promise<Server> => ({ database: 'sqlite', stop: async () => {} }),
  MariaDB: async (): Promise<Server> => {
    const server = await startMariadb();
    return { database: await server.createDatabase('wiki', 'wiki', 'canary-1'), stop: () => server.stop() };
  },
  PostgreSQL: async (): Promise<Server> => {
    const server = await startPostgres();
    const database = await server.createDatabase('wiki', 'wiki', 'canary-1');
    const empty = async () => {
      await server.query('DROP DATABASE wiki WITH (FORCE)');
      await server.createDatabase('wiki', 'wiki', 'canary-1');
    };
    return { database, stop: () => server.stop(), empty };
  },
};

describe.each(Object.entries(ENGINES))('the uploads of a MediaWiki on %s', (name, start) => {
  let home: string;
  let wiki: Wiki;
  let server: Server | undefined;
  let bench: Bench;
  const backup = async (env: Record<string, string> = {}) => {
    const settings = { MEDIAWIKI_DIR: wiki.directory, ...env };
    const { exitCode, stdout, stderr } = await bench.run('agent-mediawiki', ['--json'], { env: settings });
    return { exitCode, stderr, ...JSON.parse(stdout) };
  };

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'garner-uploads-'));
    server = await start();
    wiki = await createWiki({ directory: join(home, 'wiki'), database: server.database });
    await wiki.stop();
    await useFiles(wiki);
  });
  afterAll(async () => {
    await server?.stop();
    rmSync(home, { recursive: true });
  });
  beforeEach(() => {
    bench = makeBench();
    return () => bench.remove();
  });

  it('are all there after uploads, new versions, deletions and hidden versions', async () => {
    const { exitCode, crossChecks, warnings } = await backup();
    expect({ exitCode, warnings }).toEqual({ exitCode: 0, warnings: [] });
    // Red_dot, Notes, Röd_ruta twice, Hidden twice, Deleted twice
    const counts = { rowCount: 8, fileCount: 8, missingCount: 0, unnamedCount: 0 };
    expect(crossChecks).toEqual([{ database: 'wiki', tree: 'images', ...counts }]);
  });

  it('are named where one is lost or strange', async () => {
    const [lost, stray] = [pathOf('Röd_ruta.png'), pathOf('Stray.png')];
    renameSync(join(wiki.images, lost), join(home, 'lost'));
    mkdirSync(join(wiki.images, stray, '..'), { recursive: true });
    writeFileSync(join(wiki.images, stray), 'nobody uploaded this');
    const { exitCode, crossChecks, warnings, stderr } = await backup();
    expect(exitCode).toBe(3);
    expect(crossChecks).toMatchObject([{ missingCount: 1, unnamedCount: 1 }]);
    expect(warnings).toMatchObject([{ code: 'files-missing' }]);
    expect(stderr).toContain(`not in the archive: ${lost}\n`);
    expect(stderr).toContain(`named by no row: ${stray}\n`);
    rmSync(join(wiki.images, stray));
    renameSync(join(home, 'lost'), join(wiki.images, lost));
  });

  it('are found where deleted ones lie in a directory of their own', async () => {
    const apart = join(home, 'apart');
    renameSync(join(wiki.images, 'deleted'), apart);
    await appendFile(wiki.localSettings, `$wgDeletedDirectory = '${apart}';\n`);
    const { exitCode, archive, crossChecks } = await backup();
    const whole = { missingCount: 0, unnamedCount: 0 };
    expect({ exitCode, crossChecks }).toMatchObject({
      exitCode: 0,
      crossChecks: [
        { tree: 'images', rowCount: 5, fileCount: 5, ...whole },
        { tree: 'deleted', rowCount: 3, fileCount: 3, ...whole },
      ],
    });
    expect((await execa('tar', ['-tf', archive])).stdout).toContain('deleted.tar.zst');
  });

  if (name !== 'PostgreSQL') return; // the other two are brought back by test/e2e/main-path.test.ts
  it('come back with their pages after all was lost', async () => {
    const pages = async () => {
      await wiki.serve();
      const shown = [await wiki.fetchPage('Main Page'), await wiki.fetchPage('Räksmörgås')];
      const file = (await wiki.fetchFile('Röd_ruta.png')).toString('base64');
      await wiki.stop();
      return [...shown, file];
    };
    const before = await pages();
    const { archive } = await backup();
    await server?.empty?.();
    for (const part of ['images', 'extensions', 'skins', 'LocalSettings.php'])
      rmSync(join(wiki.directory, part), { recursive: true });
    rmSync(join(home, 'apart'), { recursive: true });
    const env = { MEDIAWIKI_DIR: wiki.directory };
    expect(await bench.run('agent-mediawiki', ['restore', archive], { env })).toMatchObject({ exitCode: 0 });
    expect(await pages()).toEqual(before);
    expect(await backup()).toMatchObject({ exitCode: 0 });
  });
});
