// A file on its way into a bucket. What is small is put at once; what is larger goes in parts, some under way at a time, each with
// its digest in its signature, which the server compares. Memory stays at five parts: 40 MiB up to 13 GB of file.
// An upload goes on where an ended run has left one: each part is compared with what the server has, and only others are sent.
import { createHash, randomBytes } from 'node:crypto';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  type HeadObjectCommandOutput,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { cannot, type GarnerError } from '../lib/errors.ts';
import { s3ErrorName, s3Status } from '../lib/s3.ts';
import { type Bucket, bucketError, head } from './s3-bucket.ts';
import { kept, type LocksOfRun, lockIfIgnored, MARK, mayLock } from './s3-keep.ts';
import { endUpload, findLeftover, type Leftover, sweepDirectory } from './s3-leftovers.ts';
import type { Upload } from './store.ts';

const PART_BYTES = 8 << 20;
const PARTS_IN_FLIGHT = 4;
/** The protocol has ten thousand parts; so that they suffice for a terabyte, later ones are larger. */
const MAX_PARTS = 10_000;
const PARTS_OF_ONE_SIZE = 1600;

/** What the uploads of one run know together. */
export interface UploadsOfRun extends LocksOfRun {
  /** Directories where what ended runs have left was looked for. */
  swept: Set<string>;
  /** Memory of parts that have come, for the next: of checksum files there may be thousands. */
  free: Buffer[];
  /** The server knows no condition. */
  isUnconditional?: boolean;
}

const partBytes = (number: number): number => PART_BYTES * 2 ** Math.floor((number - 1) / PARTS_OF_ONE_SIZE);

/** Starts a file; see {@link Store.create}. Nothing is sent before a part is full. */
export function startUpload(bucket: Bucket, key: string, ofRun: UploadsOfRun): Upload {
  const { client, target } = bucket;
  const where = { Bucket: target.bucket, Key: key };
  const ended = new AbortController();
  const signal = AbortSignal.any([bucket.signal, ended.signal]);
  const mark = randomBytes(8).toString('hex');
  const tags: string[] = [];
  const inFlight = new Set<Promise<void>>();
  const takeMemory = (wanted: number): Buffer => {
    const next = ofRun.free.pop();
    return next?.length === wanted ? next : Buffer.allocUnsafeSlow(wanted);
  };
  let part = takeMemory(partBytes(1));
  let filledBytes = 0;
  let sizeBytes = 0;
  let count = 0;
  let left: Leftover | undefined;
  let failed: { error: unknown } | undefined;
  let published = false;
  const fail = (doWhat: string, error: unknown): GarnerError => bucketError(bucket, doWhat, key, error);

  const start = async (): Promise<Leftover> => {
    const { encryption, lockDays } = target.keeping;
    // the server's tags of encrypted parts are no MD5, and the days of a lock begin now
    const found = await findLeftover(bucket, key, encryption !== 'aws:kms' && lockDays === undefined);
    await sweepOnce(bucket, key, ofRun);
    if (found !== undefined) return found;
    const command = new CreateMultipartUploadCommand({ ...where, ...kept(bucket, mark) });
    const { UploadId } = await client.send(command, { abortSignal: signal });
    return { uploadId: UploadId as string, parts: new Map() };
  };

  const sendPart = async (uploadId: string, number: number, body: Buffer): Promise<void> => {
    const there = left?.parts.get(number);
    if (there?.sizeBytes === body.length && bareTag(there.tag) === md5(body).toString('hex')) {
      tags[number - 1] = there.tag;
      return;
    }
    const contentMd5 = (await mayLock(bucket, ofRun)) ? { ContentMD5: md5(body).toString('base64') } : {};
    const command = new UploadPartCommand({
      ...where,
      UploadId: uploadId,
      PartNumber: number,
      Body: body,
      ...contentMd5,
    });
    // in another thread, where the SDK would take it in this one
    const digest = Buffer.from(
      await crypto.subtle.digest('SHA-256', body as Uint8Array<ArrayBuffer>),
    ).toString('hex');
    command.middlewareStack.add(
      (next) => (args) => {
        (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = digest;
        return next(args);
      },
      { step: 'build', name: 'digestOfPart' },
    );
    const { ETag } = await client.send(command, { abortSignal: signal });
    tags[number - 1] = ETag as string;
  };

  /** Hands what was gathered to the next part, as soon as one of those under way has come. */
  const send = async (): Promise<void> => {
    count += 1;
    if (count > MAX_PARTS) throw cannot('store-limit', 'write', key, `it has more than ${MAX_PARTS} parts`);
    left ??= await start();
    const [number, body, full] = [count, part.subarray(0, filledBytes), part];
    const sent: Promise<void> = sendPart(left.uploadId, number, body)
      .catch((error) => {
        failed ??= { error }; // told by the next call
      })
      .finally(() => {
        inFlight.delete(sent);
        ofRun.free.push(full);
      });
    inFlight.add(sent);
    if (inFlight.size >= PARTS_IN_FLIGHT) await Promise.race(inFlight);
    part = takeMemory(partBytes(count + 1));
    filledBytes = 0;
  };

  /** Sends the last part too, which may be smaller than others: nothing is to be written behind it. */
  const flush = async (doWhat: string): Promise<void> => {
    try {
      if (left !== undefined && filledBytes > 0) await send();
    } catch (error) {
      throw fail(doWhat, error);
    }
    await Promise.all(inFlight);
    if (failed !== undefined) throw fail(doWhat, failed.error);
  };

  const putWhole = async (isConditional: boolean): Promise<string | undefined> => {
    const body = part.subarray(0, filledBytes);
    const contentMd5 = (await mayLock(bucket, ofRun)) ? { ContentMD5: md5(body).toString('base64') } : {};
    const condition = isConditional ? { IfNoneMatch: '*' } : {};
    const command = new PutObjectCommand({
      ...where,
      ...kept(bucket, mark),
      Body: body,
      ...contentMd5,
      ...condition,
    });
    return (await client.send(command, { abortSignal: signal })).ETag;
  };

  const complete = async ({ uploadId }: Leftover, isConditional: boolean): Promise<string | undefined> => {
    const Parts = tags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }));
    const condition = isConditional ? { IfNoneMatch: '*' } : {};
    const command = new CompleteMultipartUploadCommand({
      ...where,
      UploadId: uploadId,
      MultipartUpload: { Parts },
      ...condition,
    });
    return (await client.send(command, { abortSignal: signal })).ETag;
  };

  /** @returns the tag that the server says the file has */
  const finish = async (): Promise<string | undefined> => {
    const once = (isConditional: boolean): Promise<string | undefined> =>
      left === undefined ? putWhole(isConditional) : complete(left, isConditional);
    try {
      return await once(!ofRun.isUnconditional);
    } catch (error) {
      if (ofRun.isUnconditional || !isUnknownCondition(error)) throw error;
      ofRun.isUnconditional = true;
      return once(false);
    }
  };

  return {
    resumedBytes: 0,
    confirms: true,
    async write(chunk) {
      if (failed !== undefined) throw fail('write', failed.error);
      try {
        for (let offset = 0; offset < chunk.length; ) {
          if (filledBytes === part.length) await send();
          const copied = chunk.copy(part, filledBytes, offset);
          offset += copied;
          filledBytes += copied;
          sizeBytes += copied;
        }
      } catch (error) {
        throw fail('write', error);
      }
    },
    flush: () => flush('write'),
    async publish(elsewhere) {
      if (elsewhere !== undefined) throw new Error('a file in a bucket has its name from the beginning');
      await flush('publish');
      if ((await head(bucket, key)) !== undefined) throw exists(bucket, key);
      let tag: string | undefined;
      let doubt: { error: unknown } | undefined;
      try {
        tag = await finish();
      } catch (error) {
        signal.throwIfAborted();
        doubt = { error }; // it may have been done nevertheless
      }
      const found = await head(bucket, key);
      if (found === undefined) {
        throw fail('publish', doubt?.error ?? new Error('the server says that it is there, and it is not'));
      }
      const expected = [tag, tagOf(tags)].filter((one) => one !== undefined).map(bareTag);
      const isOurs = found.Metadata?.[MARK] === mark || expected.includes(bareTag(found.ETag ?? ''));
      if (!isOurs) throw exists(bucket, key);
      if (found.ContentLength !== sizeBytes) {
        await removeVersion(bucket, key, found);
        const cause = `the server has ${found.ContentLength} bytes of it, ${sizeBytes} were sent`;
        throw cannot('io', 'publish', `s3://${target.bucket}/${key}`, cause);
      }
      await lockIfIgnored(bucket, key, found);
      published = true;
      ofRun.free.push(part);
    },
    async abort(keep = false) {
      ended.abort();
      await Promise.all(inFlight);
      if (published || left === undefined || keep) return;
      // a broken connection is no news here; the next upload of this file ends it, or goes on
      await endUpload(bucket, key, left.uploadId).catch(() => {});
    },
  };
}

const md5 = (data: Buffer): Buffer => createHash('md5').update(data).digest();
const bareTag = (tag: string): string => tag.replaceAll('"', '');

/** @returns the tag that a file of these parts has; undefined where they tell nothing */
function tagOf(tags: readonly string[]): string | undefined {
  const bare = tags.map(bareTag);
  if (bare.length === 0 || !bare.every((tag) => /^[0-9a-f]{32}$/.test(tag))) return undefined;
  return `${md5(Buffer.from(bare.join(''), 'hex')).toString('hex')}-${bare.length}`;
}

function isUnknownCondition(error: unknown): boolean {
  return s3Status(error) === 501 || s3ErrorName(error) === 'NotImplemented';
}

function exists({ target }: Bucket, key: string): GarnerError {
  return cannot('store-exists', 'publish', `s3://${target.bucket}/${key}`, 'it exists already');
}

async function sweepOnce(bucket: Bucket, key: string, { swept }: UploadsOfRun): Promise<void> {
  const directory = key.slice(0, key.lastIndexOf('/') + 1);
  if (swept.has(directory)) return;
  swept.add(directory);
  await sweepDirectory(bucket, key);
}

async function removeVersion(
  bucket: Bucket,
  key: string,
  { VersionId }: HeadObjectCommandOutput,
): Promise<void> {
  const { client, target, signal } = bucket;
  const version = VersionId === undefined ? {} : { VersionId };
  const command = new DeleteObjectCommand({ Bucket: target.bucket, Key: key, ...version });
  await client.send(command, { abortSignal: signal }).catch(() => {});
}
