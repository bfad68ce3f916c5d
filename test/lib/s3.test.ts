import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openS3 } from '../../lib/s3.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-keys-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const KEYS = { Version: 1, AccessKeyId: 'AKIA', SecretAccessKey: 'swordfish' };
const read = async (credentialsFile: string) => {
  const client = openS3({ endpoint: 'http://127.0.0.1:9', credentialsFile });
  return await client.config.credentials();
};

it('runs a command that a file of keys names only where nobody else could have written it', async () => {
  const place = join(directory, 'shared');
  const [file, ran] = [join(place, 'keys'), join(directory, 'ran')];
  mkdirSync(place, { mode: 0o700 });
  const says = `/bin/sh -c "touch ${ran}; cat ${join(directory, 'answer')}"`;
  writeFileSync(join(directory, 'answer'), JSON.stringify(KEYS));
  writeFileSync(file, `[default]\ncredential_process = ${says}\n`, { mode: 0o600 });
  const refused = { code: 'configuration-permissions', message: expect.stringMatching(/by group|by others/) };
  chmodSync(place, 0o777);
  await expect(read(file)).rejects.toMatchObject(refused);
  chmodSync(place, 0o700);
  chmodSync(file, 0o660);
  await expect(read(file)).rejects.toMatchObject(refused);
  expect(existsSync(ran)).toBe(false);
  chmodSync(file, 0o600);
  expect(await read(file)).toMatchObject({ secretAccessKey: 'swordfish' });
  expect(existsSync(ran)).toBe(true);

  // keys alone run nothing
  writeFileSync(file, '[default]\naws_access_key_id = AKIA\naws_secret_access_key = swordfish\n');
  chmodSync(file, 0o660);
  expect(await read(file)).toMatchObject({ accessKeyId: 'AKIA' });
  // what takes its place before it is read is looked at too
  const client = openS3({ endpoint: 'http://127.0.0.1:9', credentialsFile: file });
  writeFileSync(file, `[default]\ncredential_process = ${says}\n`);
  await expect(client.config.credentials()).rejects.toMatchObject(refused);
});
