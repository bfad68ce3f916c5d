import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MariaDb, startMariadb } from './mariadb.ts';
import { createWiki, FILES, type Wiki } from './mediawiki.ts';
import { type Postgres, startPostgres } from './postgres.ts';

const directory = mkdtempSync(join(tmpdir(), 'garner-wiki-'));
let server: MariaDb;
let postgres: Postgres;
beforeAll(async () => {
  [server, postgres] = await Promise.all([startMariadb(), startPostgres()]);
});
afterAll(async () => {
  await server?.stop();
  await postgres?.stop();
  rmSync(directory, { recursive: true });
});

describe.each(['sqlite', 'mariadb', 'postgres'])('a wiki on %s', (engine) => {
  let wiki: Wiki;
  beforeAll(async () => {
    const owner = ['wiki', 'wiki', `p'q"r\\$&`] as const;
    const make: Record<string, () => Promise<string>> = {
      sqlite: async () => 'sqlite',
      mariadb: () => server.createDatabase(...owner),
      postgres: () => postgres.createDatabase(...owner),
    };
    const database = (await make[engine]?.()) as string;
    wiki = await createWiki({ directory: join(directory, engine), database });
  });
  afterAll(() => wiki?.stop());

  it('serves its pages and files, the same at each request', async () => {
    const page = await wiki.fetchPage('Main Page');
    expect(page).toContain('Welcome. See');
    expect(page).toMatch(/<img [^>]*src="\/images\/[^"]+\/Red_dot\.png"/);
    expect(page).toContain(' 42');
    expect(await wiki.fetchPage('Main Page')).toBe(page);
    expect(await wiki.fetchPage('Räksmörgås')).toContain('Emoji 🦔, umlauts äöü');
    expect(await wiki.fetchPage('Quotes')).toContain(`backslash \\, a ),( and '; DROP TABLE page; --`);
    for (const [name, data] of Object.entries(FILES)) {
      expect((await wiki.fetchFile(name)).equals(data)).toBe(true);
    }
  });

  it('serves the same after it was stopped', async () => {
    const page = await wiki.fetchPage('Quotes');
    await wiki.stop();
    await expect(wiki.fetchPage('Quotes')).rejects.toThrow('fetch failed');
    await wiki.serve();
    expect(await wiki.fetchPage('Quotes')).toBe(page);
  });
});
