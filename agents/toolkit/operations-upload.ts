// Uploads what an operation has made to the bucket that its file names, under the name that it gives: the checksum file first, what
// it stands for last. It is hashed as it goes, and nothing that is there already is replaced. Here it stays as it is.
import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import { formatSidecar } from '../../archive/name.ts';
import type { PublishedArchive } from '../../archive/write.ts';
import { cannot, GarnerError } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { formatSize } from '../../lib/text.ts';
import { openFileStore } from '../../stores/file.ts';
import { openStore } from '../../stores/open.ts';
import type { Store } from '../../stores/store.ts';

/** Where the results of operations go. */
export interface UploadTarget {
  /** `s3://bucket/prefix?endpoint=…` */
  url: string;
  credentialsFile: string | undefined;
  credentials: { accessKeyId: string; secretAccessKey: string } | undefined;
}

/**
 * Uploads an archive or a zip with its checksum file.
 * @param name what it is called there, with `/` between directories
 * @returns where it is: `s3://bucket/name`
 * @throws store-exists where the name is taken; checksum-mismatch where the file here has changed; what the store throws
 */
export async function upload(
  { path, sizeBytes, digests }: PublishedArchive,
  name: string,
  { url, ...keys }: UploadTarget,
  signal: AbortSignal,
): Promise<string> {
  await using to = await openStore(url, { ...keys, signal });
  await using from = openFileStore(dirname(path));
  const sidecar = `${name}.sha256`;
  try {
    if ((await to.stat(name)) !== undefined)
      throw cannot('store-exists', 'upload', `${to.url}/${name}`, 'it is there already', {
        hint: 'put $Date into the file name',
      });
    await to.remove(sidecar); // of a run that was ended before the other came
    const text = formatSidecar(digests.sha256 as string, basename(name));
    await put(to, sidecar, [Buffer.from(text)], () => {});
    const hash = createHash('sha256');
    await put(
      to,
      name,
      from.read(basename(path)),
      (chunk) => hash.update(chunk),
      () => {
        if (hash.digest('hex') === digests.sha256) return;
        throw cannot('checksum-mismatch', 'upload', path, 'it has changed since it was made');
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    const { code, message, hint } = error as GarnerError;
    if (!(error instanceof GarnerError)) throw error;
    throw new GarnerError(code, `${message}; what was to be uploaded is whole, here: ${path}`, {
      cause: error,
      hint,
    });
  }
  info(`${to.url}/${name}: uploaded, ${formatSize(sizeBytes)}`);
  return `${to.url}/${name}`;
}

/** @param check throws where what was written must not get its name */
async function put(
  to: Store,
  name: string,
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  onChunk: (chunk: Buffer) => void,
  check = (): void => {},
): Promise<void> {
  const file = await to.create(name);
  try {
    for await (const chunk of chunks) {
      onChunk(chunk);
      await file.write(chunk);
    }
    check();
    await file.publish();
  } finally {
    await file.abort();
  }
}

/**
 * Reads where Hamster's configuration uploads to: `Bucket`, else the path of `EndpointURL`.
 * @returns undefined where it names neither
 * @throws a text where it names a server and no bucket
 */
export function hamsterTarget({
  EndpointURL,
  Bucket,
  AccessKey,
  SecretKey,
}: Record<'EndpointURL' | 'Bucket' | 'AccessKey' | 'SecretKey', string>): UploadTarget | undefined {
  if (EndpointURL === '' && Bucket === '') return undefined;
  let endpoint: URL | undefined;
  try {
    endpoint = EndpointURL === '' ? undefined : new URL(EndpointURL);
  } catch {
    throw 'EndpointURL: it is no URL such as https://s3.example.org';
  }
  const ofPath = endpoint?.pathname.replace(/^\/+|\/+$/g, '') ?? '';
  const bucket = Bucket === '' ? ofPath : Bucket;
  if (bucket === '') throw 'Bucket: it is missing, and EndpointURL has no path that names one';
  const query = endpoint === undefined ? '' : `?endpoint=${encodeURIComponent(endpoint.origin)}`;
  const hasKeys = AccessKey !== '' || SecretKey !== '';
  return {
    url: `s3://${bucket}${query}`,
    credentialsFile: undefined,
    credentials: hasKeys ? { accessKeyId: AccessKey, secretAccessKey: SecretKey } : undefined,
  };
}
