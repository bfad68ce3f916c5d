// One version copied by the server itself, from bucket to bucket or within one: its content, type, metadata and tags; not its access
// list, lock, or storage class, which are the target bucket's. A version that was uploaded in parts is copied in the same parts
// where the server tells them, so that it keeps its ETag and is known again; one above 5 GB goes in parts anyway.
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectTaggingCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { cannot } from '../lib/errors.ts';
import { s3Error } from '../lib/s3.ts';
import { inParallel } from './in-parallel.ts';
import type { OpenBucket } from './listing.ts';
import type { Copy } from './plan.ts';

/** What one request may copy. */
export const LARGEST_COPY_BYTES = 5 * 2 ** 30;
const PART_BYTES = 2 ** 30;
const MAX_PARTS = 10_000;
const PARTS_AT_ONCE = 4;

type Range = { number: number; from: number; to: number };

/**
 * Copies a version; what was begun of a copy in parts is taken back where it fails.
 * @param largestBytes what one request may copy; for tests
 * @throws what the server says, as `s3Error` has it; io where it was written over while it was copied in parts
 */
export async function copyVersion(
  source: OpenBucket,
  target: OpenBucket,
  version: Omit<Copy, 'action'>,
  signal: AbortSignal,
  { largestBytes = LARGEST_COPY_BYTES, partBytes = PART_BYTES } = {},
): Promise<void> {
  const { key, versionId, sizeBytes, etag } = version;
  try {
    const wasInParts = /-\d+$/.test(etag);
    const firstBytes = wasInParts ? await firstPartBytes(source, version, signal) : undefined;
    if (sizeBytes > largestBytes || firstBytes !== undefined) {
      const bytes = firstBytes ?? Math.max(partBytes, Math.ceil(sizeBytes / MAX_PARTS));
      await copyInParts(source, target, version, bytes, signal);
      return;
    }
    const request = new CopyObjectCommand({
      Bucket: target.bucket,
      Key: key,
      CopySource: copySource(source, key, versionId),
    });
    await target.client.send(request, { abortSignal: signal });
  } catch (error) {
    signal.throwIfAborted();
    throw s3Error('copy', key, error);
  }
}

function copySource({ bucket }: OpenBucket, key: string, versionId: string): string {
  return `${bucket}/${encodeURIComponent(key)}?versionId=${encodeURIComponent(versionId)}`;
}

/** @returns undefined where the server does not tell parts, or there is one only */
async function firstPartBytes(
  { client, bucket }: OpenBucket,
  { key, versionId, sizeBytes }: Omit<Copy, 'action'>,
  signal: AbortSignal,
): Promise<number | undefined> {
  const request = new HeadObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId, PartNumber: 1 });
  const { PartsCount, ContentLength } = await client.send(request, { abortSignal: signal });
  const isTold = PartsCount !== undefined && ContentLength !== undefined && ContentLength > 0;
  return isTold && Math.ceil(sizeBytes / ContentLength) === PartsCount ? ContentLength : undefined;
}

async function copyInParts(
  source: OpenBucket,
  target: OpenBucket,
  { key, versionId, sizeBytes, etag }: Omit<Copy, 'action'>,
  partBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const of = { Bucket: source.bucket, Key: key, VersionId: versionId };
  const to = { Bucket: target.bucket, Key: key };
  const head = await source.client.send(new HeadObjectCommand(of), { abortSignal: signal });
  const { UploadId } = await target.client.send(
    new CreateMultipartUploadCommand({
      ...to,
      ContentType: head.ContentType,
      ContentEncoding: head.ContentEncoding,
      ContentDisposition: head.ContentDisposition,
      ContentLanguage: head.ContentLanguage,
      CacheControl: head.CacheControl,
      WebsiteRedirectLocation: head.WebsiteRedirectLocation,
      Metadata: head.Metadata,
      ...(head.ExpiresString !== undefined && { Expires: new Date(head.ExpiresString) }),
    }),
    { abortSignal: signal },
  );
  const upload = { ...to, UploadId };
  try {
    const ranges: Range[] = [];
    for (let from = 0; from < sizeBytes; from += partBytes)
      ranges.push({ number: ranges.length + 1, from, to: Math.min(from + partBytes, sizeBytes) - 1 });
    const parts: { PartNumber: number; ETag: string | undefined }[] = [];
    await inParallel(ranges, PARTS_AT_ONCE, async (range) => {
      const request = new UploadPartCopyCommand({
        ...upload,
        PartNumber: range.number,
        CopySource: copySource(source, key, versionId),
        CopySourceRange: `bytes=${range.from}-${range.to}`,
      });
      const { CopyPartResult } = await target.client.send(request, { abortSignal: signal });
      parts.push({ PartNumber: range.number, ETag: CopyPartResult?.ETag });
    });
    // one without versioning has no version that stays: half of it may be of another
    const { ETag = '' } = await source.client.send(new HeadObjectCommand(of), { abortSignal: signal });
    if (etag !== '' && ETag.replaceAll('"', '') !== etag)
      throw cannot('io', 'copy', key, 'it was written over meanwhile');
    const MultipartUpload = { Parts: parts.sort((a, b) => a.PartNumber - b.PartNumber) };
    const complete = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload });
    const { VersionId } = await target.client.send(complete, { abortSignal: signal });
    const { TagSet = [] } = await source.client.send(new GetObjectTaggingCommand(of), {
      abortSignal: signal,
    });
    if (TagSet.length === 0) return;
    // not with the upload: Ceph would leave them out without a word
    const Tagging = { TagSet };
    await target.client.send(new PutObjectTaggingCommand({ ...to, VersionId, Tagging }), {
      abortSignal: signal,
    });
  } catch (error) {
    // not with the signal: it may be what ended the copy
    await target.client.send(new AbortMultipartUploadCommand(upload)).catch(() => {});
    throw error;
  }
}
