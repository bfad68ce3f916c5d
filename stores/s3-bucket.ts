// What all that deals with a bucket shares: the client, what holds for the run, and what an object is asked for.
import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { cannot, type GarnerError } from '../lib/errors.ts';
import { s3Error, s3Status } from '../lib/s3.ts';
import type { S3Target, S3TargetOptions } from './s3-target.ts';
import { checkStorePath } from './store.ts';

export interface Bucket {
  client: S3Client;
  target: S3Target;
  signal: AbortSignal;
  pace: S3TargetOptions['pace'];
}

/**
 * Makes the garner error of what a request threw.
 * @throws the reason where the run was ended
 */
export function bucketError(
  { target, signal }: Bucket,
  doWhat: string,
  key: string,
  error: unknown,
): GarnerError {
  signal.throwIfAborted();
  return s3Error(doWhat, `s3://${target.bucket}/${key}`, error);
}

/** @returns the key of a file */
export function fileKey({ target }: Bucket, path: string): string {
  checkStorePath(path);
  if (path === '') throw cannot('usage', 'use path', path, 'it names no file');
  return target.prefix + path;
}

/** @returns undefined where there is no such object, or no such bucket */
export async function head(bucket: Bucket, key: string) {
  const { client, target, signal } = bucket;
  try {
    const command = new HeadObjectCommand({ Bucket: target.bucket, Key: key });
    return await client.send(command, { abortSignal: signal });
  } catch (error) {
    if (s3Status(error) === 404) return undefined;
    throw bucketError(bucket, 'look at', key, error);
  }
}
