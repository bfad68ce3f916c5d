// Every version that a bucket has, page by page, as its server lists them: of one key the newest first. Keys come escaped as in
// a URL, since XML can't carry each of them; what is told here is the key itself.
import {
  GetBucketVersioningCommand,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { cannot, type GarnerError } from '../lib/errors.ts';
import { s3Error } from '../lib/s3.ts';
import { seeAnswer } from './raw-answer.ts';

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
  bucket: OpenBucket,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<ListedVersion[]> {
  let asked = ask(bucket, prefix, {}, signal);
  for (;;) {
    // the next page comes while this one is read and worked on: both take about as long
    const ahead = asked.hint.then((next) => next && { next, asked: ask(bucket, prefix, next, signal) });
    ahead.catch(() => {}); // of a run that was ended: the page says it too
    const { versions, next } = await asked.page;
    yield versions;
    if (next === undefined) return;
    const early = await ahead;
    asked = early !== undefined && isSame(early.next, next) ? early.asked : ask(bucket, prefix, next, signal);
  }
}

/** Where a page begins. */
interface Place {
  KeyMarker?: string;
  VersionIdMarker?: string;
}

const isSame = (one: Place, other: Place): boolean =>
  one.KeyMarker === other.KeyMarker && one.VersionIdMarker === other.VersionIdMarker;

interface Asked {
  page: Promise<{ versions: ListedVersion[]; next: Place | undefined }>;
  /** Where the next page seems to begin, as soon as the answer is there; what `page` says counts. */
  hint: Promise<Place | undefined>;
}

function ask({ client, bucket }: OpenBucket, prefix: string, place: Place, signal: AbortSignal): Asked {
  signal.throwIfAborted();
  const { promise: hint, resolve } = Promise.withResolvers<Place | undefined>();
  const request = new ListObjectVersionsCommand({
    Bucket: bucket,
    EncodingType: 'url',
    ...(prefix !== '' && { Prefix: prefix }),
    ...place,
  });
  let kinds: string[] = [];
  seeAnswer(request, (body, status) => {
    const xml = body.toString('latin1');
    kinds = xml.match(ENTRY) ?? [];
    if (status === 200) resolve(hintOf(bucket, xml));
  });
  const read = async (): ReturnType<typeof ask>['page'] => {
    try {
      const output = await client.send(request, { abortSignal: signal });
      const next = output.IsTruncated === true ? nextOf(bucket, output) : undefined;
      if (next !== undefined && isSame(next, place)) throw refuse(bucket, 'the same page again and again');
      return { versions: inOrder(bucket, kinds, output), next };
    } catch (error) {
      signal.throwIfAborted();
      throw s3Error('list', `s3://${bucket}`, error);
    } finally {
      resolve(undefined);
    }
  };
  const page = read();
  page.catch(() => {}); // one that was asked for ahead, and is not wanted any more
  return { page, hint };
}

function nextOf(
  bucket: string,
  { NextKeyMarker, NextVersionIdMarker }: ListObjectVersionsCommandOutput,
): Place {
  return {
    KeyMarker: decode(bucket, NextKeyMarker),
    ...(NextVersionIdMarker !== undefined && { VersionIdMarker: NextVersionIdMarker }),
  };
}

function hintOf(bucket: string, xml: string): Place | undefined {
  const [, NextKeyMarker] = /<NextKeyMarker>([^<&]+)</.exec(xml) ?? [];
  const [, NextVersionIdMarker] = /<NextVersionIdMarker>([^<&]+)</.exec(xml) ?? [];
  if (NextKeyMarker === undefined || NextVersionIdMarker === undefined) return undefined;
  try {
    return nextOf(bucket, { NextKeyMarker, NextVersionIdMarker, $metadata: {} });
  } catch {
    return undefined; // said by whoever reads the page
  }
}

function refuse(bucket: string, what: string): GarnerError {
  return cannot('store-connect', 'list', `s3://${bucket}`, `the server lists ${what}`);
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
    throw refuse(bucket, 'more than it says');
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
    throw refuse(bucket, 'a version without id, time or size');
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
  throw refuse(bucket, 'a key that is no UTF-8');
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
