// How an object is kept: its class of storage, encryption by the server, its lock, and the mark of the upload that brought it.
import {
  GetObjectLockConfigurationCommand,
  type HeadObjectCommandOutput,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import { cannot } from '../lib/errors.ts';
import { s3ErrorName } from '../lib/s3.ts';
import { type Bucket, bucketError } from './s3-bucket.ts';
import type { Keeping } from './s3-target.ts';

/** By this a file is known to be an upload's, also where the answer was lost that says so. */
export const MARK = 'garner-upload';

export interface LocksOfRun {
  /** The bucket may lock objects: then it wants an MD5 of all that is sent. */
  locks?: Promise<boolean>;
}

/** @returns what a request says that brings an object */
export function kept({ target }: Bucket, mark: string) {
  const { storageClass, encryption, encryptionKey } = target.keeping;
  return {
    Metadata: { [MARK]: mark },
    ...(storageClass !== undefined && { StorageClass: storageClass as 'STANDARD' }),
    ...(encryption !== undefined && { ServerSideEncryption: encryption as 'AES256' }),
    ...(encryptionKey !== undefined && { SSEKMSKeyId: encryptionKey }),
    ...lockOf(target.keeping),
  };
}

function lockOf({ lockDays, lockMode }: Keeping) {
  if (lockDays === undefined) return {};
  const until = new Date(Date.now() + lockDays * 24 * 3600 * 1000);
  return { ObjectLockMode: lockMode as 'GOVERNANCE', ObjectLockRetainUntilDate: until };
}

/**
 * Asked once a run. Where that may not be asked, it is taken for what the URL says.
 * @throws configuration where objects are to be locked, and can't be
 */
export async function mayLock({ client, target, signal }: Bucket, ofRun: LocksOfRun): Promise<boolean> {
  const { lockDays } = target.keeping;
  ofRun.locks ??= client
    .send(new GetObjectLockConfigurationCommand({ Bucket: target.bucket }), { abortSignal: signal })
    .then(({ ObjectLockConfiguration }) => ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled')
    .catch(
      (error) => lockDays !== undefined && s3ErrorName(error) !== 'ObjectLockConfigurationNotFoundError',
    );
  const locks = await ofRun.locks;
  if (locks || lockDays === undefined) return locks;
  throw cannot(
    'configuration',
    'lock what is put into',
    target.url,
    'the bucket was made without object lock',
    {
      hint: 'make a bucket with object lock, or leave lockDays out',
    },
  );
}

/** Ceph before Reef ignores the lock of an upload in parts. */
export async function lockIfIgnored(
  bucket: Bucket,
  key: string,
  { ObjectLockMode }: HeadObjectCommandOutput,
): Promise<void> {
  const { client, target, signal } = bucket;
  if (target.keeping.lockDays === undefined || ObjectLockMode !== undefined) return;
  const { ObjectLockMode: Mode, ObjectLockRetainUntilDate: RetainUntilDate } = lockOf(target.keeping);
  const Retention = { Mode, RetainUntilDate };
  try {
    const command = new PutObjectRetentionCommand({ Bucket: target.bucket, Key: key, Retention });
    await client.send(command, { abortSignal: signal });
  } catch (error) {
    throw bucketError(bucket, 'lock', key, error);
  }
}
