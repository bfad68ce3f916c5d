// Reads an object in order. One that breaks off goes on where it was, as long as it is still the same.
import type { Readable } from 'node:stream';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { cannot, GarnerError } from '../lib/errors.ts';
import { s3Status } from '../lib/s3.ts';
import { type Bucket, bucketError, fileKey } from './s3-bucket.ts';

/** So often one that breaks off is asked for again, before so many bytes have come. */
const READ_TRIES = 5;
const PROGRESS_BYTES = 1 << 20;

/** Reads an object; see {@link Store.read}. */
export async function* read(bucket: Bucket, path: string, fromBytes = 0): AsyncGenerator<Buffer> {
  const key = fileKey(bucket, path);
  const fail = (error: unknown): GarnerError => bucketError(bucket, 'read', key, error);
  let at = fromBytes;
  let proven = at;
  let known: { tag: string | undefined; sizeBytes: number } | undefined;
  for (let tries = 1; known === undefined || at < known.sizeBytes; tries += 1) {
    try {
      const answer = await get(bucket, key, at, known?.tag);
      if (answer === undefined) return;
      const { ContentLength, ContentRange } = answer;
      if (ContentLength === undefined || (at > 0 && !ContentRange?.startsWith(`bytes ${at}-`)))
        throw cannot(
          'io',
          'read',
          `s3://${bucket.target.bucket}/${key}`,
          'the server gave another piece of it',
        );
      const sizeBytes = at + ContentLength;
      known ??= { tag: answer.ETag, sizeBytes };
      if (answer.ETag !== known.tag || sizeBytes !== known.sizeBytes) throw changed(bucket, key);
      for await (const chunk of answer.Body as Readable) {
        at += chunk.length;
        if (at > known.sizeBytes) throw changed(bucket, key);
        if (at - proven >= PROGRESS_BYTES) {
          proven = at;
          tries = 0;
        }
        await bucket.pace?.(chunk.length);
        yield chunk;
      }
    } catch (error) {
      if (s3Status(error) === 412) throw changed(bucket, key);
      // without a status it is the connection that broke
      if (error instanceof GarnerError || s3Status(error) !== undefined || tries >= READ_TRIES)
        throw fail(error);
      bucket.signal.throwIfAborted();
      continue;
    }
    if (at < known.sizeBytes && tries >= READ_TRIES) {
      throw cannot('store-connect', 'read', `${bucket.target.url}/${path}`, 'it ended before its size');
    }
  }
}

/** @returns undefined where it has no more bytes than these */
async function get({ client, target, signal }: Bucket, key: string, at: number, tag: string | undefined) {
  const command = new GetObjectCommand({
    Bucket: target.bucket,
    Key: key,
    ...(at > 0 && { Range: `bytes=${at}-` }),
    ...(tag !== undefined && { IfMatch: tag }),
  });
  try {
    return await client.send(command, { abortSignal: signal });
  } catch (error) {
    if (s3Status(error) === 416) return undefined;
    throw error;
  }
}

function changed({ target }: Bucket, key: string): GarnerError {
  return cannot('io', 'read', `s3://${target.bucket}/${key}`, 'it changed while it was read');
}
