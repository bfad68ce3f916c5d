import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MariaDb, startMariadb } from './mariadb.ts';
import { createWiki, FILES, type Wiki } from './mediawiki.ts';

const directory = mkdtempSync(join(tmpdir(), 'garner-wiki-'));
let server: MariaDb;
beforeAll(async () => {
  server = await startMariadb();
});
afterAll(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true });
});

describe.each(['sqlite', 'mariadb'])('a wiki on %s', (engine) => {
  let wiki: Wiki;
  beforeAll(async () => {
    const database =
      engine === 'sqlite' ? 'sqlite' : await server.createDatabase('wiki', 'wiki', `p'q"r\\$&`);
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
