// A set of buckets of a test's own: a master and a replica on a private object storage, a configuration, a directory of points; the
// verbs are run in this process. What is in a bucket is told by the SDK alone.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { vi } from 'vitest';
import { main } from '../../bucket/bucket.ts';
import { asGarnerError } from '../../lib/errors.ts';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import type { Ceph } from './ceph.ts';

export interface RanVerb {
  exitCode: number;
  stdout: string;
  /** Of the error that ended it; '' where there was none. */
  code: string;
  message: string;
  // biome-ignore lint/suspicious/noExplicitAny: what --json printed
  json: any;
}

export interface TestSet extends Disposable {
  directory: string;
  points: string;
  configFile: string;
  master: string;
  replica: string;
  /** Writes buckets.yaml: one set, `photos`, with more lines of it. */
  configure(more?: string): void;
  run(...args: string[]): Promise<RanVerb>;
  put(bucket: string, key: string, content: string): Promise<string>;
  remove(bucket: string, key: string): Promise<void>;
  /** @returns the content of each key that can be read */
  contents(bucket: string): Promise<Record<string, string>>;
  /** @returns `key content` of each version there is, and `key deleted` of each marker; sorted */
  history(bucket: string): Promise<string[]>;
  /** @returns `key MD5` of each version there is, and `key deleted` of each marker, as the listing tells; sorted */
  digests(bucket: string): Promise<string[]>;
  /** @returns the names in the directory of the points, sorted */
  pointNames(): string[];
}

export async function makeSet(
  ceph: Ceph,
  { masterVersioning = true }: { masterVersioning?: boolean } = {},
): Promise<TestSet> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-buckets-'));
  const [points, configFile] = [join(directory, 'points'), join(directory, 'buckets.yaml')];
  const master = await ceph.makeBucket({ versioning: masterVersioning });
  const replica = await ceph.makeBucket({ versioning: true });
  const { client } = ceph;
  const pages = async (Bucket: string): Promise<ListObjectVersionsCommandOutput[]> => {
    const all = [];
    for (let page: ListObjectVersionsCommandOutput | undefined; page?.IsTruncated !== false; ) {
      page = await client.send(
        new ListObjectVersionsCommand({
          Bucket,
          EncodingType: 'url',
          KeyMarker: page?.NextKeyMarker && decodeURIComponent(page.NextKeyMarker),
          VersionIdMarker: page?.NextVersionIdMarker,
        }),
      );
      all.push(page);
    }
    return all;
  };
  const read = async (Bucket: string, Key: string, VersionId?: string): Promise<string> => {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, VersionId }));
    return (await Body?.transformToString()) ?? '';
  };
  const self: TestSet = {
    ...{ directory, points, configFile, master, replica },
    configure(more = '') {
      const text = `sets:
  photos:
    points: ${points}
    master: {bucket: ${master}, region: ${ceph.region}}
    replica: {bucket: ${replica}, region: ${ceph.region}}
    endpoint: ${ceph.endpoint}
    credentialsFile: ${ceph.writeCredentials()}
${more.replace(/^(?=.)/gm, '    ')}`;
      writeFileSync(configFile, text, { mode: 0o600 });
    },
    run: (...args) => runVerb(args, directory, configFile),
    async put(Bucket, Key, Body) {
      return (await client.send(new PutObjectCommand({ Bucket, Key, Body }))).VersionId ?? 'null';
    },
    async remove(Bucket, Key) {
      await client.send(new DeleteObjectCommand({ Bucket, Key }));
    },
    async contents(bucket) {
      const result: [string, string][] = [];
      for (const { Versions = [] } of await pages(bucket)) {
        for (const { Key = '', IsLatest } of Versions) {
          const key = decodeURIComponent(Key);
          if (IsLatest) result.push([key, await read(bucket, key)]);
        }
      }
      return Object.fromEntries(result);
    },
    async history(bucket) {
      const lines = [];
      for (const { Versions = [], DeleteMarkers = [] } of await pages(bucket)) {
        for (const { Key = '', VersionId } of Versions) {
          const key = decodeURIComponent(Key);
          lines.push(`${key} ${await read(bucket, key, VersionId)}`);
        }
        for (const { Key = '' } of DeleteMarkers) lines.push(`${decodeURIComponent(Key)} deleted`);
      }
      return lines.sort();
    },
    async digests(bucket) {
      const lines = [];
      for (const { Versions = [], DeleteMarkers = [] } of await pages(bucket)) {
        for (const { Key = '', ETag = '' } of Versions) lines.push(`${Key} ${ETag.replaceAll('"', '')}`);
        for (const { Key = '' } of DeleteMarkers) lines.push(`${Key} deleted`);
      }
      return lines.sort();
    },
    pointNames: () => readdirSync(points).sort(),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
  self.configure();
  return self;
}

/** Runs a verb in this process; an error ends it as it would end the command. */
export async function runVerb(args: string[], directory: string, configFile: string): Promise<RanVerb> {
  const before = { ...process.env };
  const printed: string[] = [];
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed.push(String(text));
    return true;
  });
  Object.assign(process.env, { GARNER_RUN_DIR: join(directory, 'run'), GARNER_CONFIG_DIR: directory });
  const ended = { code: '', message: '' };
  try {
    process.exitCode = 0;
    const config = args.some((arg) => /^--?config/.test(arg)) ? [] : ['--config', configFile];
    await main([...args, ...config], { program: 'bucket', known: CORE_SETTINGS });
  } catch (caught) {
    const { code, message, hint, exitCode } = asGarnerError(caught);
    Object.assign(ended, { code, message: `${message}${hint === undefined ? '' : `\nhint: ${hint}`}` });
    process.exitCode = exitCode;
  } finally {
    stdout.mockRestore();
    process.env = before;
  }
  const exitCode = Number(process.exitCode);
  process.exitCode = 0;
  const text = printed.join('');
  const json: unknown = args.includes('--json') && text.startsWith('{') ? JSON.parse(text) : undefined;
  return { exitCode, stdout: text, ...ended, json };
}
