import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { redact } from '../../lib/redact.ts';
import { openStore } from '../../stores/open.ts';

const directory = mkdtempSync(join(tmpdir(), 'garner-open-store-'));
afterAll(() => rmSync(directory, { recursive: true }));

test('opens a path and a file URL as the same store', async () => {
  writeFileSync(join(directory, 'file'), 'x');
  for (const url of [directory, pathToFileURL(directory).href]) {
    await using store = await openStore(url);
    expect(await store.list('')).toMatchObject([{ name: 'file', kind: 'file' }]);
    expect(store.url).toBe(pathToFileURL(directory).href);
  }
});

test('names the kinds there are where a scheme is unknown', async () => {
  for (const url of ['ftp://host/x', 'constructor://host/x']) {
    await expect(openStore(url)).rejects.toMatchObject({
      code: 'configuration',
      hint: 'known are a path and file://, sftp://, s3://',
    });
  }
});

test('refuses malformed URLs as configuration', async () => {
  const key = join(directory, 'file');
  const malformed = [
    'file://host/x',
    'sftp://',
    'sftp://host/work',
    'sftp://user@host/%zz',
    'sftp://user@host/a?b=c',
  ];
  for (const url of [...malformed, 'sftp://user@host/x%2f..%2fy', 'sftp://user@host/x']) {
    const options = url.endsWith('host/x') ? {} : { identityFile: key };
    await expect(openStore(url, options), url).rejects.toMatchObject({ code: 'configuration' });
  }
});

test('keeps the password of a URL out of messages', async () => {
  const error = await openStore('sftp://user:swordfish@127.0.0.1:1/x', { hostKeys: [] }).catch((e) => e);
  expect(error).toMatchObject({ code: 'store-connect' });
  expect(error.message).toContain('sftp://user@127.0.0.1:1/x');
  expect(error.message).not.toContain('swordfish');
  expect(redact('it is swordfish')).toBe('it is [redacted]');
  const unknown = await openStore('ftp://user:hunter22@host/x').catch((e) => e);
  expect(redact(unknown.message)).not.toContain('hunter22');
});
