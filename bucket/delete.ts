// Deletions in a bucket, up to a thousand a request: of keys (a delete marker is put over them) or of versions, for good. Each is
// looked at in the answer: a request succeeds also where none of it does.
import { DeleteObjectCommand, DeleteObjectsCommand } from '@aws-sdk/client-s3';
import { cannot, type GarnerError } from '../lib/errors.ts';
import { NO_STORAGE, s3Error, s3ErrorName } from '../lib/s3.ts';
import { inParallel } from './in-parallel.ts';
import type { OpenBucket } from './listing.ts';
import { seeAnswer } from './raw-answer.ts';

/** What one request may delete. */
const BATCH = 1000;
const BATCHES_AT_ONCE = 4;
/** Characters that no XML can carry: their keys go alone, in a URL. */
const NOT_IN_XML = /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/;
/** Gone is gone. */
const ABSENT = ['NoSuchKey', 'NoSuchVersion'];

export interface Deletion {
  key: string;
  /** Undefined: a delete marker is put over the key; where the bucket has no versioning, it is gone. */
  versionId?: string;
}

/**
 * Deletes; what fails does not keep the others.
 * @param onEnd is told of each, with its error where it failed
 * @throws what concerns a whole request
 */
export async function deleteAll(
  bucket: OpenBucket,
  deletions: Iterable<Deletion>,
  onEnd: (deletion: Deletion, error?: GarnerError) => void,
  signal: AbortSignal,
): Promise<void> {
  await inParallel(batches(deletions), BATCHES_AT_ONCE, async (batch) => {
    signal.throwIfAborted();
    const inXml = batch.filter(({ key }) => !NOT_IN_XML.test(key));
    if (inXml.length > 0) await deleteBatch(bucket, inXml, onEnd, signal);
    for (const one of batch.filter(({ key }) => NOT_IN_XML.test(key))) {
      const error = await deleteOne(bucket, one, signal);
      onEnd(one, error);
    }
  });
}

function* batches(deletions: Iterable<Deletion>): Generator<Deletion[]> {
  let batch: Deletion[] = [];
  for (const one of deletions) {
    batch.push(one);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

async function deleteBatch(
  { client, bucket }: OpenBucket,
  batch: Deletion[],
  onEnd: (deletion: Deletion, error?: GarnerError) => void,
  signal: AbortSignal,
): Promise<void> {
  const objects = batch.map(({ key, versionId }) => ({
    Key: key,
    ...(versionId && { VersionId: versionId }),
  }));
  const request = new DeleteObjectsCommand({ Bucket: bucket, Delete: { Quiet: true, Objects: objects } });
  seeAnswer(request, (body, status) => {
    // the SDK takes any page for an answer without errors
    if (status === 200 && !body.includes('DeleteResult'))
      throw Object.assign(new Error('no answer to it'), { name: NO_STORAGE });
  });
  const { Errors = [] } = await client.send(request, { abortSignal: signal }).catch((error) => {
    signal.throwIfAborted();
    throw s3Error('delete in', `s3://${bucket}`, error);
  });
  const named = new Map(Errors.map((error) => [nameOf(error.Key, error.VersionId), error]));
  for (const one of batch) {
    const error = named.get(nameOf(one.key, one.versionId));
    if (error === undefined || ABSENT.includes(error.Code ?? '')) onEnd(one);
    else onEnd(one, cannot('io', 'delete', one.key, `${error.Message || 'no reason given'} (${error.Code})`));
    named.delete(nameOf(one.key, one.versionId));
  }
  const [other] = named.values();
  if (other !== undefined)
    throw cannot('io', 'delete in', `s3://${bucket}`, `${other.Message} (${other.Code})`);
}

const nameOf = (key = '', versionId = ''): string => JSON.stringify([key, versionId]);

async function deleteOne(
  { client, bucket }: OpenBucket,
  { key, versionId }: Deletion,
  signal: AbortSignal,
): Promise<GarnerError | undefined> {
  try {
    const request = new DeleteObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId });
    await client.send(request, { abortSignal: signal });
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return ABSENT.includes(s3ErrorName(error)) ? undefined : s3Error('delete', key, error);
  }
}
