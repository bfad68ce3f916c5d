// Against a server that a real one is not: it tells more than it was asked.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { openS3 } from '../../lib/s3.ts';
import { sweepDirectory } from '../../stores/s3-leftovers.ts';
import { readS3Target } from '../../stores/s3-target.ts';

it('ends no upload of another directory, also where a server lists all that it has', async () => {
  const day = new Date(Date.now() - 3 * 86_400_000).toISOString();
  const deleted: string[] = [];
  const server = createServer(({ method, url = '' }, answer) => {
    if (method === 'DELETE') deleted.push(new URL(url, 'http://x').pathname);
    const upload = (key: string): string =>
      `<Upload><Key>${key}</Key><UploadId>1</UploadId><Initiated>${day}</Initiated></Upload>`;
    const list = `<ListMultipartUploadsResult><Bucket>bb</Bucket><IsTruncated>false</IsTruncated>
      ${upload('mine/left')}${upload('yours-and-longer')}</ListMultipartUploadsResult>`;
    const parts = '<ListPartsResult><UploadId>1</UploadId><IsTruncated>false</IsTruncated></ListPartsResult>';
    answer.end(method === 'DELETE' ? '' : url.includes('uploadId') ? parts : list);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = openS3({ endpoint, credentials: { accessKeyId: 'a', secretAccessKey: 'b' }, attempts: 1 });
  try {
    const target = readS3Target(`s3://bb/mine?endpoint=${endpoint}`);
    const { signal } = new AbortController();
    await sweepDirectory({ client, target, signal, pace: undefined }, 'mine/new');
    expect(deleted).toEqual(['/bb/mine/left']);
  } finally {
    client.destroy();
    server.close();
  }
});
