// Uploads that an ended run has left in a bucket: no listing shows them, and they are paid for. That of the very file goes on,
// what else lies in its directory untouched for a day is ended. Without a prefix nothing else is: it may be anybody's.
import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type MultipartUpload,
} from '@aws-sdk/client-s3';
import { info } from '../lib/log.ts';
import { plural } from '../lib/text.ts';
import { type Bucket, bucketError } from './s3-bucket.ts';

const DAY_MS = 24 * 3600 * 1000;
/** Pages of a thousand; a server may go on forever. */
const MAX_PAGES = 100;

/** What the server has of an upload, by part number. */
export interface Leftover {
  uploadId: string;
  parts: Map<number, { tag: string; sizeBytes: number }>;
}

/**
 * Finds what an earlier run has left of a file, and ends all but the newest of it.
 * @param mayResume false: ends all of it
 */
export async function findLeftover(
  bucket: Bucket,
  key: string,
  mayResume: boolean,
): Promise<Leftover | undefined> {
  const own = (await listUploads(bucket, key)).filter((upload) => upload.Key === key);
  own.sort((a, b) => startedMs(b) - startedMs(a));
  let found: Leftover | undefined;
  for (const upload of own) {
    const isUsable = mayResume && found === undefined && Date.now() - startedMs(upload) < DAY_MS;
    if (isUsable) found = await listParts(bucket, upload);
    else await endUpload(bucket, key, upload.UploadId as string);
  }
  return found;
}

/** Ends what nobody has gone on with for a day in the directory of a file. */
export async function sweepDirectory(bucket: Bucket, key: string): Promise<void> {
  const directory = key.slice(0, key.lastIndexOf('/') + 1);
  if (directory === '' || bucket.target.prefix === '') return;
  let count = 0;
  for (const upload of await listUploads(bucket, directory)) {
    const { Key = '', UploadId = '' } = upload;
    const isBelow = Key.startsWith(directory) && !Key.slice(directory.length).includes('/');
    if (!isBelow || Key === key || Date.now() - startedMs(upload) < DAY_MS) continue;
    // one that takes longer than a day is not to be cut
    const { newestMs } = await listParts(bucket, upload);
    if (Date.now() - newestMs < DAY_MS) continue;
    await endUpload(bucket, Key, UploadId);
    count += 1;
  }
  if (count > 0) info(`${bucket.target.url}: ${plural(count, 'upload')} of ended runs swept`);
}

/** Ends an upload and frees what it took; one that is gone already is no error. */
export async function endUpload(
  bucket: Bucket,
  key: string,
  uploadId: string,
  signal = bucket.signal,
): Promise<void> {
  const { client, target } = bucket;
  try {
    const command = new AbortMultipartUploadCommand({ Bucket: target.bucket, Key: key, UploadId: uploadId });
    await client.send(command, { abortSignal: signal });
  } catch (error) {
    const failed = bucketError(bucket, 'end upload of', key, error);
    if (failed.code !== 'store-not-found') throw failed;
  }
}

function startedMs({ Initiated }: MultipartUpload): number {
  return Initiated?.getTime() ?? 0;
}

async function listUploads(bucket: Bucket, prefix: string): Promise<MultipartUpload[]> {
  const { client, target, signal } = bucket;
  const uploads: MultipartUpload[] = [];
  let after: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {};
  for (let page = 0; after !== undefined && page < MAX_PAGES; page += 1) {
    try {
      const command: ListMultipartUploadsCommand = new ListMultipartUploadsCommand({
        Bucket: target.bucket,
        Prefix: prefix,
        ...after,
      });
      const answer = await client.send(command, { abortSignal: signal });
      uploads.push(...(answer.Uploads ?? []));
      after = answer.IsTruncated
        ? { KeyMarker: answer.NextKeyMarker, UploadIdMarker: answer.NextUploadIdMarker }
        : undefined;
    } catch (error) {
      throw bucketError(bucket, 'list uploads of', prefix, error);
    }
  }
  return uploads;
}

/** @returns the parts too, and when the newest came */
async function listParts(bucket: Bucket, upload: MultipartUpload): Promise<Leftover & { newestMs: number }> {
  const { client, target, signal } = bucket;
  const { Key = '', UploadId = '' } = upload;
  const found: Leftover & { newestMs: number } = {
    uploadId: UploadId,
    parts: new Map(),
    newestMs: startedMs(upload),
  };
  let after: string | undefined;
  try {
    for (let page = 0; page === 0 || (after !== undefined && page < MAX_PAGES); page += 1) {
      const command: ListPartsCommand = new ListPartsCommand({
        Bucket: target.bucket,
        Key,
        UploadId,
        PartNumberMarker: after,
      });
      const answer = await client.send(command, { abortSignal: signal });
      for (const { PartNumber = 0, ETag = '', Size = 0, LastModified } of answer.Parts ?? []) {
        found.parts.set(PartNumber, { tag: ETag, sizeBytes: Size });
        found.newestMs = Math.max(found.newestMs, LastModified?.getTime() ?? 0);
      }
      after = answer.IsTruncated ? answer.NextPartNumberMarker : undefined;
    }
  } catch (error) {
    throw bucketError(bucket, 'list parts of', Key, error);
  }
  return found;
}
