// Lets what goes to object storage go no faster than it may: a part is sent slice by slice, each when its turn has come.
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';

const SLICE_BYTES = 256 << 10;

/** @param pace waits until so many bytes may go */
export function paceBodies(client: S3Client, pace: (count: number) => Promise<void>): void {
  // behind the signature and within each attempt: the part itself stays as it is, to be sent again
  client.middlewareStack.add(
    (next) => (args) => {
      const request = args.request as { body?: unknown };
      if (!Buffer.isBuffer(request.body) || request.body.length === 0) return next(args);
      const body = Readable.from(slices(request.body, pace), { objectMode: false });
      return next({
        ...args,
        request: Object.assign(Object.create(Object.getPrototypeOf(request)), request, { body }),
      });
    },
    { step: 'deserialize', priority: 'low', name: 'paceBodies' },
  );
}

async function* slices(data: Buffer, pace: (count: number) => Promise<void>): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += SLICE_BYTES) {
    const slice = data.subarray(at, at + SLICE_BYTES);
    await pace(slice.length);
    yield slice;
  }
}
