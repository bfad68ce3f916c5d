// What answers in place of an object storage with success: a proxy, a page to log in. Nobody's storage does that on demand, so it is
// a server of the test's own.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { copyVersion } from '../../bucket/copy.ts';
import { deleteAll } from '../../bucket/delete.ts';
import { listVersions } from '../../bucket/listing.ts';
import { asGarnerError } from '../../lib/errors.ts';
import { openS3 } from '../../lib/s3.ts';
import { openS3Store } from '../../stores/s3.ts';

it.each([
  ['an empty one', ''],
  ['a page to log in', '<!DOCTYPE html>\n<html><body>Log in</body></html>'],
  ['XML of another service', '<?xml version="1.0"?><Envelope><Body/></Envelope>'],
])('takes %s for no answer of an object storage: neither nothing nor done', async (_what, body) => {
  const server = createServer((from, to) => {
    from.resume().once('end', () => to.writeHead(200, { 'Content-Length': body.length }).end(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
  const client = openS3({ endpoint, credentials, attempts: 1 });
  await using store = openS3Store({ url: `s3://bucket?endpoint=${endpoint}`, credentials });
  const bucket = { client, bucket: 'bucket' };
  const version = { key: 'k', versionId: 'v', sizeBytes: 1, etag: 'e' };
  const { signal } = new AbortController();
  const ended: string[] = [];
  const ask = {
    'list a store': () => store.list(''),
    'list versions': () => listVersions(bucket, '', signal).next(),
    copy: () => copyVersion(bucket, bucket, version, signal),
    delete: () => deleteAll(bucket, [{ key: 'k' }], ({ key }) => ended.push(key), signal),
  };
  try {
    for (const [what, work] of Object.entries(ask)) {
      const error = await Promise.resolve(work()).then(
        () => 'none',
        (caught) => asGarnerError(caught).code,
      );
      expect([what, error]).toEqual([what, 'store-connect']);
    }
    expect(ended).toEqual([]);
  } finally {
    client.destroy();
    server.closeAllConnections();
    server.close();
  }
});
