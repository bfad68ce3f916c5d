// From a URL or a path to its store. What a scheme needs is loaded when it is used: SSH and S3 cost start-up time.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cannot } from '../lib/errors.ts';
import { registerUrlSecret } from '../lib/redact.ts';
import { openFileStore } from './file.ts';
import type { S3TargetOptions } from './s3-target.ts';
import type { SftpOptions } from './sftp-target.ts';
import type { Store } from './store.ts';

/** What a store may need beside its URL; each kind takes what concerns it. */
export type StoreOptions = Omit<SftpOptions & S3TargetOptions, 'url'>;

const SCHEMES: Record<string, (url: string, options: StoreOptions) => Promise<Store>> = {
  file: async (url) => openFileStore(pathOf(url)),
  sftp: async (url, options) => (await import('./sftp.ts')).openSftpStore({ ...options, url }),
  s3: async (url, options) => (await import('./s3.ts')).openS3Store({ ...options, url }),
};

/**
 * Opens the store of a URL.
 * @param url `file:///…`, `sftp://user@host:port/…`, `s3://bucket/…?endpoint=…`, or a plain path
 * @throws configuration where the URL is malformed or of an unknown kind; what the store throws
 */
export async function openStore(url: string, options: StoreOptions = {}): Promise<Store> {
  registerUrlSecret(url);
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined) return openFileStore(resolve(url));
  const open = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined;
  if (open === undefined) {
    throw cannot('configuration', 'open store', url, `there is no kind of store "${scheme}"`, {
      hint: `known are a path and ${Object.keys(SCHEMES)
        .map((name) => `${name}://`)
        .join(', ')}`,
    });
  }
  return open(url, options);
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw cannot('configuration', 'open store', url, error, { hint: 'it looks like file:///directory' });
  }
}
