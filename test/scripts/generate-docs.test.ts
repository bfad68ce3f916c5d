import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generateDocs } from '../../scripts/generate-docs.ts';

test('the generated pages of docs/ and names of settings are what `make docs` writes', async () => {
  for (const [name, content] of Object.entries(await generateDocs())) {
    expect(readFileSync(join(import.meta.dirname, '../..', name), 'utf8'), name).toBe(content);
  }
});
