// Archives in a bucket of object storage. A name is complete or not there: what is unfinished is an upload that no listing shows.
// What this can't promise: where a server ignores the condition that nothing may be overwritten (Ceph before Squid on buckets
// with versions), two hosts that publish one name in the same moment may both succeed; the bucket then keeps both versions.
// Directories are what names have in common up to a `/`. Load this file only where it is used: the SDK costs start-up time.
import {
  DeleteObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
} from '@aws-sdk/client-s3';
import { cannot } from '../lib/errors.ts';
import { openS3 } from '../lib/s3.ts';
import { type Bucket, bucketError, fileKey, head } from './s3-bucket.ts';
import { paceBodies } from './s3-pace.ts';
import { read } from './s3-read.ts';
import { readS3Target, type S3TargetOptions } from './s3-target.ts';
import { startUpload, type UploadsOfRun } from './s3-upload.ts';
import { checkStorePath, isPart, isPlainName, MAX_ENTRIES, type Store, type StoreEntry } from './store.ts';

/** The most that the protocol has in one answer. */
const PAGE_ENTRIES = 1000;

/**
 * Opens a bucket, or what has a prefix in it, as a store. Nothing is sent yet.
 * @throws configuration, configuration-permissions
 */
export function openS3Store({ url, credentialsFile, credentials, pace, signal }: S3TargetOptions): Store {
  const target = readS3Target(url);
  const { endpoint, region, pathStyle, profile } = target;
  const client = openS3({ endpoint, region, pathStyle, profile, credentialsFile, credentials });
  if (pace !== undefined) paceBodies(client, pace);
  const ended = new AbortController();
  const bucket = {
    client,
    target,
    pace,
    signal: signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]),
  };
  const ofRun: UploadsOfRun = { swept: new Set(), free: [] };
  return {
    url: target.url,
    list: (directory) => list(bucket, directory),
    stat: (path) => stat(bucket, path),
    read: (path, fromBytes) => read(bucket, path, fromBytes),
    async create(path) {
      return startUpload(bucket, fileKey(bucket, path), ofRun);
    },
    remove: (path) => remove(bucket, path),
    async [Symbol.asyncDispose]() {
      ended.abort();
      client.destroy();
    },
  };
}

async function list(bucket: Bucket, directory: string): Promise<StoreEntry[]> {
  checkStorePath(directory);
  const { prefix } = bucket.target;
  const at = directory === '' ? prefix : `${prefix}${directory}/`;
  const entries: StoreEntry[] = [];
  // an endless listing may have empty pages
  for (let pages = 0, token: string | undefined; pages === 0 || token !== undefined; pages += 1) {
    const page = await listPage(bucket, at, token);
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
    for (const entry of entriesOf(page, at)) if (!isPart(entry.name)) entries.push(entry);
    if (entries.length <= MAX_ENTRIES && pages <= MAX_ENTRIES / 10) continue;
    const where = `${bucket.target.url}/${directory}`;
    throw cannot('store-limit', 'list', where, `there are more than ${MAX_ENTRIES} entries`);
  }
  return entries;
}

async function listPage(
  bucket: Bucket,
  at: string,
  token?: string,
  limit = PAGE_ENTRIES,
): Promise<ListObjectsV2CommandOutput> {
  const { client, target, signal } = bucket;
  const command = new ListObjectsV2Command({
    Bucket: target.bucket,
    Prefix: at,
    Delimiter: '/',
    EncodingType: 'url', // a name may have characters that XML has not
    ContinuationToken: token,
    MaxKeys: limit,
  });
  try {
    return await client.send(command, { abortSignal: signal });
  } catch (error) {
    throw bucketError(bucket, 'list', at, error);
  }
}

function* entriesOf(page: ListObjectsV2CommandOutput, at: string): Generator<StoreEntry> {
  for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
    const name = nameBelow(at, Key);
    // a marker that other tools make for the directory itself
    if (name === '') continue;
    const kind = isPlainName(name) ? 'file' : 'other';
    yield { name, kind, sizeBytes: Size, modifiedMs: wholeSeconds(LastModified) };
  }
  for (const { Prefix = '' } of page.CommonPrefixes ?? []) {
    const name = nameBelow(at, Prefix).slice(0, -1);
    if (name !== '') yield directoryEntry(name);
  }
}

function directoryEntry(name: string): StoreEntry {
  return { name, kind: isPlainName(name) ? 'directory' : 'other', sizeBytes: 0, modifiedMs: 0 };
}

/** Listings have milliseconds, and what else tells of an object has not. */
function wholeSeconds(time: Date | undefined): number {
  return Math.floor((time?.getTime() ?? 0) / 1000) * 1000;
}

/** @returns '' for what was not asked for */
function nameBelow(at: string, text: string): string {
  const key = decodeKey(text);
  return key.startsWith(at) ? key.slice(at.length) : '';
}

/** @returns a key of a listing; one that is badly encoded is no plain name as it is */
function decodeKey(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return `${text}\0`;
  }
}

async function stat(bucket: Bucket, path: string): Promise<StoreEntry | undefined> {
  checkStorePath(path);
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (path === '') return directoryEntry(name);
  const key = fileKey(bucket, path);
  const found = await head(bucket, key);
  if (found !== undefined) {
    const { ContentLength = 0, LastModified } = found;
    return { name, kind: 'file', sizeBytes: ContentLength, modifiedMs: wholeSeconds(LastModified) };
  }
  // also tells a bucket that is not there from an object that is not: HEAD has no text
  const below = await listPage(bucket, `${key}/`, undefined, 1);
  const isThere = (below.Contents ?? []).length + (below.CommonPrefixes ?? []).length > 0;
  return isThere ? directoryEntry(name) : undefined;
}

async function remove(bucket: Bucket, path: string): Promise<void> {
  const { client, target, signal } = bucket;
  const key = fileKey(bucket, path);
  try {
    const command = new DeleteObjectCommand({ Bucket: target.bucket, Key: key });
    await client.send(command, { abortSignal: signal });
  } catch (error) {
    const failed = bucketError(bucket, 'remove', key, error);
    if (failed.code !== 'store-not-found') throw failed;
  }
}
