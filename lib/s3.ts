// The client of object storage, the same for stores and for buckets: where it is, with which keys, how often something is tried
// again, and what its errors mean to an administrator. Heavy: load this file only where a bucket is used.
// It uses no proxy. What a server says (names, messages, listings) is foreign text.

import { pipeline, Readable, Transform } from 'node:stream';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { fromIni } from '@aws-sdk/credential-provider-ini';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { checkOwnership, readConfigurationText } from './configuration-file.ts';
import { cannot, causeText, type ErrorCode, GarnerError } from './errors.ts';
import { registerSecret } from './redact.ts';
import { checkTrusted } from './trusted-file.ts';

/** How often a request is sent before what the server says is believed. */
const ATTEMPTS = 6;
const CONNECT_TIMEOUT_MS = 10_000;
/** A server that is silent for so long is gone; completing a large upload is the longest silence there is. */
const IDLE_TIMEOUT_MS = 120_000;
/** Four times a page of a thousand keys, each as long as can be. */
const MAX_ANSWER_BYTES = 16 << 20;

export interface S3Options {
  /** `https://host:port`; undefined: AWS itself, or `AWS_ENDPOINT_URL`. */
  endpoint?: string | undefined;
  /** Undefined: `AWS_REGION`, else `us-east-1`, which others than AWS don't mind. */
  region?: string | undefined;
  /** Whether the bucket stands in the path, not before the host name; undefined: only with an endpoint. */
  pathStyle?: boolean | undefined;
  /** A file as AWS' tools have it, for its owner only. */
  credentialsFile?: string | undefined;
  /** The section of that file; undefined: `default`. */
  profile?: string | undefined;
  /** The keys themselves; without them and the file: the environment, AWS' own files, the role of the machine. */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | undefined;
  /** How many requests may be under way; default 50. */
  maxSockets?: number | undefined;
  /** How often a request is sent at most; default 6, over about ten seconds. */
  attempts?: number | undefined;
}

/**
 * Makes a client; nothing is sent yet. Its secrets are registered when they are read.
 * @throws configuration, configuration-permissions
 */
export function openS3(options: S3Options): S3Client {
  const {
    endpoint,
    region,
    pathStyle = endpoint !== undefined,
    maxSockets = 50,
    attempts = ATTEMPTS,
  } = options;
  if (endpoint !== undefined) checkEndpoint(endpoint);
  const client = new S3Client({
    ...(endpoint !== undefined && { endpoint }),
    credentials: findCredentials(options),
    region: region ?? process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? 'us-east-1',
    forcePathStyle: pathStyle,
    followRegionRedirects: endpoint === undefined,
    maxAttempts: attempts,
    // servers of others don't know the checksums that AWS began with in 2025
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: IDLE_TIMEOUT_MS,
      httpAgent: { keepAlive: true, maxSockets },
      httpsAgent: { keepAlive: true, maxSockets },
    },
  });
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      async (args) => {
        const result = await next(args);
        checkAnswer(commandName, result.output);
        return result;
      },
    { step: 'initialize', name: 'checkAnswer' },
  );
  limitAnswers(client.config.requestHandler);
  return client;
}

/** All but objects is taken into memory as a whole: a server that never ends would end the run, also of other hosts. */
function limitAnswers(handler: S3Client['config']['requestHandler']): void {
  const handle = handler.handle.bind(handler);
  // here, since a middleware of ours may read an answer before any other sees it
  handler.handle = async (request, options) => {
    const handled = await handle(request, options);
    const { response } = handled;
    const isObject = request.query['x-id'] === 'GetObject' && response.statusCode < 300;
    if (!isObject && response.body instanceof Readable) response.body = limited(response.body);
    return handled;
  };
}

function limited(body: Readable): Readable {
  let sizeBytes = 0;
  const limit = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sizeBytes += chunk.length;
      if (sizeBytes <= MAX_ANSWER_BYTES) done(null, chunk);
      else done(Object.assign(new Error('its answer has no end'), { name: NO_STORAGE }));
    },
  });
  return pipeline(body, limit, () => {}); // whoever reads it is told
}

/** What an answer has some of: a page of a proxy that asks to log in would pass for a listing of nothing, and for success. */
const TELLING: Record<string, readonly string[]> = {
  ListObjectsV2Command: ['Name', 'IsTruncated'],
  ListObjectVersionsCommand: ['Name', 'IsTruncated'],
  ListMultipartUploadsCommand: ['Bucket', 'IsTruncated'],
  ListPartsCommand: ['UploadId', 'IsTruncated'],
  CopyObjectCommand: ['ETag'],
  UploadPartCopyCommand: ['ETag'],
  CreateMultipartUploadCommand: ['UploadId'],
  CompleteMultipartUploadCommand: ['ETag', 'Key'],
};

function checkAnswer(command: string, output: object): void {
  const { CopyObjectResult, CopyPartResult } = output as Record<string, object | undefined>;
  const told = { ...output, ...CopyObjectResult, ...CopyPartResult } as Record<string, unknown>;
  const telling = TELLING[command];
  if (telling === undefined || telling.some((name) => told[name] !== undefined)) return;
  throw Object.assign(new Error('no answer of an object storage'), { name: NO_STORAGE });
}

function checkEndpoint(endpoint: string): void {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const isPlain = url !== undefined && url.search === '' && url.hash === '' && url.username === '';
  if (isPlain && url.password === '' && /^https?:$/.test(url.protocol)) return;
  throw cannot(
    'configuration',
    'use endpoint',
    endpoint.replace(/\/\/.*@/, '//…@'),
    'it is no URL of a server',
    {
      hint: 'it looks like https://s3.example.org, without keys in it',
    },
  );
}

/** @returns the keys, or what reads them when they are needed; without a file it is the search that AWS' tools have */
function findCredentials({
  credentials,
  credentialsFile,
  profile,
}: S3Options): NonNullable<S3ClientConfig['credentials']> {
  if (credentials !== undefined) {
    registerSecret(credentials.secretAccessKey);
    registerSecret(credentials.sessionToken);
    return credentials;
  }
  if (credentialsFile !== undefined) checkFile(credentialsFile);
  const read =
    credentialsFile === undefined
      ? defaultProvider({ ...(profile !== undefined && { profile }) })
      : fromIni({
          filepath: credentialsFile,
          configFilepath: '/dev/null',
          profile: profile ?? 'default',
          ignoreCache: true,
        });
  return async () => {
    if (credentialsFile !== undefined) checkFile(credentialsFile); // it is read anew each time
    const found = await read();
    registerSecret(found.secretAccessKey);
    registerSecret(found.sessionToken);
    return found;
  };
}

/** A command in it is run: as those of other configuration, only where nobody else could have written it. */
function checkFile(file: string): void {
  try {
    checkOwnership(file, true);
    if (/credential_process/i.test(readConfigurationText(file))) checkTrusted(file);
  } catch (error) {
    if (error instanceof GarnerError) throw error;
    throw cannot('configuration', 'read credentials', file, error);
  }
}

/** The name of our own error where something else answers. */
export const NO_STORAGE = 'NoObjectStorage';

interface Meaning {
  code: ErrorCode;
  cause?: string;
  hint?: string;
}

const KEYS_HINT = 'docs/object-storage.md says where keys are looked for';
const WRONG_KEYS: Meaning = {
  code: 'store-connect',
  cause: 'the server does not know these keys',
  hint: KEYS_HINT,
};
const EXPIRED: Meaning = {
  code: 'store-connect',
  cause: 'the credentials have expired',
  hint: 'get new ones, or give keys that last as long as a run',
};
const BUSY: Meaning = {
  code: 'store-connect',
  cause: 'the server is overloaded or has an error of its own; it was tried several times',
  hint: 'what was sent is kept: run it again later',
};
const DENIED: Meaning = {
  code: 'io',
  cause: 'access denied',
  hint: 'docs/object-storage.md has the list of rights that are needed',
};

const DAMAGED: Meaning = {
  code: 'store-connect',
  cause: 'other bytes arrived than were sent',
  hint: 'the line, or a proxy on it, changes what it carries',
};

/** By the names that servers give their errors. */
const MEANINGS: Record<string, Meaning> = {
  NoSuchBucket: {
    code: 'store-connect',
    cause: 'there is no such bucket',
    hint: 'garner makes no bucket: make it, or correct its name',
  },
  NoSuchKey: { code: 'store-not-found', cause: 'no such object' },
  NotFound: { code: 'store-not-found', cause: 'no such object' },
  NoSuchVersion: { code: 'store-not-found', cause: 'no such version' },
  PreconditionFailed: { code: 'store-exists', cause: 'an object of that name is there already' },
  AccessDenied: DENIED,
  Forbidden: DENIED,
  InvalidAccessKeyId: WRONG_KEYS,
  SignatureDoesNotMatch: WRONG_KEYS,
  AuthorizationHeaderMalformed: { code: 'store-connect', hint: 'is the region right?' },
  PermanentRedirect: {
    code: 'store-connect',
    cause: 'the bucket is in another region',
    hint: 'set its region',
  },
  RequestTimeTooSkewed: {
    code: 'store-connect',
    cause: "this host's clock differs from the server's by more than it allows",
    hint: 'set the clock: timedatectl',
  },
  ExpiredToken: EXPIRED,
  ExpiredTokenException: EXPIRED,
  TokenRefreshRequired: EXPIRED,
  XAmzContentSHA256Mismatch: DAMAGED,
  BadDigest: DAMAGED,
  CredentialsProviderError: { code: 'configuration', hint: KEYS_HINT },
  SlowDown: BUSY,
  ServiceUnavailable: BUSY,
  InternalError: BUSY,
  QuotaExceeded: { code: 'no-space', cause: 'the quota of the bucket or of its owner is reached' },
  InvalidObjectState: {
    code: 'io',
    cause: 'it lies in an archive class of the storage',
    hint: 'restore it there first',
  },
  InvalidStorageClass: { code: 'configuration', cause: 'the server has no such storage class' },
  [NO_STORAGE]: {
    code: 'store-connect',
    cause: 'what answers there is no object storage',
    hint: 'is the endpoint right? Is there a proxy, or a page to log in, before it?',
  },
  TimeoutError: { code: 'store-connect', cause: 'the server did not answer in time' },
};

/** Where HEAD is refused there is no text, a number only. */
const BY_STATUS: Record<number, Meaning> = {
  400: {
    code: 'store-connect',
    cause: 'the server refused the request',
    hint: 'are keys, region and endpoint right?',
  },
  401: WRONG_KEYS,
  403: DENIED,
  404: { code: 'store-not-found', cause: 'no such object' },
  412: MEANINGS.PreconditionFailed as Meaning,
};

/** What the SDK says where the server says nothing. */
const NO_WORD = /^(Unknown(Error)?|\d*)$/;

/** @returns the name that the server, or the SDK, gives an error; '' where it has none */
export function s3ErrorName(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

/** @returns the status of the answer; undefined where none came */
export function s3Status(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode;
}

/**
 * Says what an error of the client means.
 * @param doWhat as in `cannot`
 * @param object what it was done to: `s3://bucket/key`
 * @param error what the client threw; a garner error stays as it is
 */
export function s3Error(doWhat: string, object: string, error: unknown): GarnerError {
  if (error instanceof GarnerError) return error;
  const name = s3ErrorName(error);
  const status = s3Status(error);
  const { code, cause, hint } = meaningOf(name, status);
  if (Object.hasOwn(MEANINGS, name)) return cannot(code, doWhat, object, cause ?? causeText(error), { hint });
  // the server's own word says more than a status; an answer to HEAD has none
  const said = NO_WORD.test(causeText(error))
    ? (cause ?? 'the server refused the request')
    : causeText(error);
  const where = status === undefined ? peerOf(error) : `${status} ${name}`;
  return cannot(code, doWhat, object, where === undefined ? said : `${said} (${where})`, {
    ...(hint !== undefined && { hint }),
  });
}

/** @returns whom the system could not reach, as it says: a bucket's URL does not name the server */
function peerOf(error: unknown): string | undefined {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const { address, port, hostname } = (first ?? {}) as { address?: string; port?: number; hostname?: string };
  return address === undefined ? hostname : `${address}:${port}`;
}

function meaningOf(name: string, status: number | undefined): Meaning {
  if (Object.hasOwn(MEANINGS, name)) return MEANINGS[name] as Meaning;
  if (status === undefined) return { code: 'store-connect' };
  return BY_STATUS[status] ?? (status >= 500 || status === 429 ? BUSY : { code: 'io' });
}
