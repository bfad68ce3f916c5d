import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { listVersions } from '../../bucket/listing.ts';
import { openS3, s3Error } from '../../lib/s3.ts';

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

it('says which server is not there: the name of a bucket does not', async () => {
  const credentials = { accessKeyId: 'AKIA', secretAccessKey: 'swordfish' };
  for (const host of ['127.0.0.1', 'localhost']) {
    const client = openS3({ endpoint: `http://${host}:9`, credentials, attempts: 1 });
    const error = await client.send(new ListObjectsV2Command({ Bucket: 'b' })).catch((caught) => caught);
    expect(s3Error('list', 's3://b', error)).toMatchObject({
      code: 'store-connect',
      message: expect.stringMatching(/^cannot list "s3:\/\/b": connection refused \(\S+:9\)$/),
    });
  }
  const unknown = Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND', hostname: 's3.example.test' });
  expect(s3Error('list', 's3://b', unknown).message).toMatch(/host name not found \(s3\.example\.test\)$/);
});

it('takes no answer without an end into memory, however a bucket is listed', async () => {
  let sentBytes = 0;
  const server = createServer((_, answer) => {
    answer.writeHead(200, { 'content-type': 'application/xml' });
    answer.write('<?xml version="1.0"?><ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>');
    const blanks = Buffer.alloc(1 << 20, ' ');
    let left = 64;
    const send = (): void => {
      for (; left > 0; left -= 1) {
        sentBytes += blanks.length;
        if (!answer.write(blanks)) {
          left -= 1;
          return void answer.once('drain', send);
        }
      }
      answer.end('</ListBucketResult>');
    };
    send();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
  const { port } = server.address() as AddressInfo;
  const client = openS3({ endpoint: `http://127.0.0.1:${port}`, credentials, attempts: 1 });
  const bucket = { client, bucket: 'b' };
  try {
    await expect(client.send(new ListObjectsV2Command({ Bucket: 'b' }))).rejects.toThrow(/no end/);
    const versions = listVersions(bucket, '', new AbortController().signal);
    await expect(versions.next()).rejects.toMatchObject({ code: 'store-connect' });
    expect(sentBytes).toBeLessThan(100 << 20);
  } finally {
    client.destroy();
    server.closeAllConnections();
    server.close();
  }
});
