// Every version that a bucket has, page by page, as its server lists them: of one key the newest first. Keys come escaped as in
// a URL, since XML can't carry each of them; what is told here is the key itself.
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  GetBucketVersioningCommand,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { cannot } from '../lib/errors.ts';
import { s3Error } from '../lib/s3.ts';

/** A bucket with the client of its region. */
export interface OpenBucket {
  client: S3Client;
  bucket: string;
}

export interface ListedVersion {
  key: string;
  /** `null`, the word, for what was written while the bucket had no versioning. */
  versionId: string;
  isLatest: boolean;
  /** Whether it says that the key was deleted; then it has neither size nor ETag. */
  isMarker: boolean;
  sizeBytes: number;
  /** The server's word for the content, without quotes. */
  etag: string;
  modified: Date;
}

/**
 * Lists versions and delete markers.
 * @param prefix of the keys; '' for all
 * @yields a page of at most 1,000 each time
 * @throws store-connect and the like
 */
export async function* listVersions(
  { client, bucket }: OpenBucket,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<ListedVersion[]> {
  let markers: { KeyMarker?: string; VersionIdMarker?: string } = {};
  for (;;) {
    signal.throwIfAborted();
    const request = new ListObjectVersionsCommand({
      Bucket: bucket,
      EncodingType: 'url',
      ...(prefix !== '' && { Prefix: prefix }),
      ...markers,
    });
    const kinds: string[] = [];
    request.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const { response } = result as { response: { body: unknown } };
        const xml = await buffer(response.body as Readable);
        kinds.splice(0, Infinity, ...(xml.toString('latin1').match(ENTRY) ?? []));
        response.body = xml;
        return result;
      },
      { step: 'deserialize', priority: 'low', name: 'orderOfEntries' },
    );
    const page = await client.send(request, { abortSignal: signal }).catch((error) => {
      signal.throwIfAborted();
      throw s3Error('list', `s3://${bucket}`, error);
    });
    yield inOrder(bucket, kinds, page);
    if (page.IsTruncated !== true) return;
    const next = {
      KeyMarker: decode(bucket, page.NextKeyMarker),
      ...(page.NextVersionIdMarker !== undefined && { VersionIdMarker: page.NextVersionIdMarker }),
    };
    if (next.KeyMarker === markers.KeyMarker && next.VersionIdMarker === markers.VersionIdMarker)
      throw cannot(
        'store-connect',
        'list',
        `s3://${bucket}`,
        'the server lists the same page again and again',
      );
    markers = next;
  }
}

/** How an entry begins; no text of an answer has such a bracket. */
const ENTRY = /<(?:Version|DeleteMarker)>/g;

/** The SDK tells versions and markers apart; of one second, only their order in the answer says which came first. */
function inOrder(bucket: string, kinds: string[], page: ListObjectVersionsCommandOutput): ListedVersion[] {
  const versions = (page.Versions ?? []).values();
  const markers = (page.DeleteMarkers ?? []).values();
  const all = kinds.map((kind) => {
    const isMarker = kind !== '<Version>';
    const { value } = isMarker ? markers.next() : versions.next();
    return listed(bucket, value ?? {}, isMarker);
  });
  if (versions.next().done !== true || markers.next().done !== true)
    throw cannot('store-connect', 'list', `s3://${bucket}`, 'the server lists more than it says');
  return all;
}

interface Entry {
  Key?: string | undefined;
  VersionId?: string | undefined;
  IsLatest?: boolean | undefined;
  LastModified?: Date | undefined;
  Size?: number | undefined;
  ETag?: string | undefined;
}

function listed(bucket: string, entry: Entry, isMarker: boolean): ListedVersion {
  const { VersionId, IsLatest, LastModified, Size, ETag } = entry;
  if (VersionId === undefined || LastModified === undefined || (!isMarker && Size === undefined))
    throw cannot(
      'store-connect',
      'list',
      `s3://${bucket}`,
      'the server lists a version without id, time or size',
    );
  return {
    key: decode(bucket, entry.Key),
    versionId: VersionId,
    isLatest: IsLatest === true,
    isMarker,
    sizeBytes: Size ?? 0,
    etag: (ETag ?? '').replace(/^"|"$/g, ''),
    modified: LastModified,
  };
}

/** @returns the key that stands escaped in a listing, where a blank may be a plus */
function decode(bucket: string, text: string | undefined): string {
  try {
    if (text !== undefined && text !== '') return decodeURIComponent(text.replaceAll('+', '%20'));
  } catch {
    // said below
  }
  throw cannot('store-connect', 'list', `s3://${bucket}`, 'the server lists a key that is no UTF-8');
}

/** @returns whether a bucket keeps what is overwritten and deleted */
export async function hasVersioning({ client, bucket }: OpenBucket, signal: AbortSignal): Promise<boolean> {
  try {
    const request = new GetBucketVersioningCommand({ Bucket: bucket });
    return (await client.send(request, { abortSignal: signal })).Status === 'Enabled';
  } catch (error) {
    signal.throwIfAborted();
    throw s3Error('ask for the versioning of', `s3://${bucket}`, error);
  }
}
