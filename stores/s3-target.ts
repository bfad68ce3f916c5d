// Where an S3 store is, and how what is put there is kept, read from its URL and options and checked before anything is sent:
//   s3://bucket/prefix?endpoint=https://s3.example.org&region=eu-1&storageClass=STANDARD_IA&lockDays=30
import { cannot, type GarnerError } from '../lib/errors.ts';
import { isPlainName } from './store.ts';

export interface S3TargetOptions {
  /** `s3://bucket/prefix?name=value&…`, without keys in it. */
  url: string;
  /** Keys as AWS' tools have them in a file; without it: the environment, AWS' own files, the role of the machine. */
  credentialsFile?: string | undefined;
  /** The keys themselves, where they are in a configuration. */
  credentials?: { accessKeyId: string; secretAccessKey: string } | undefined;
  /** Waits until so many bytes more may be asked for, or sent. */
  pace?: ((count: number) => Promise<void>) | undefined;
  /** Ends all that is under way. */
  signal?: AbortSignal | undefined;
}

/** What each object is given that is put into the bucket. */
export interface Keeping {
  storageClass: string | undefined;
  /** On the server's side: `AES256` or `aws:kms`. */
  encryption: string | undefined;
  /** The id of the key of `aws:kms`; undefined: the account's own. */
  encryptionKey: string | undefined;
  /** Nobody may remove it for so long. */
  lockDays: number | undefined;
  /** `GOVERNANCE`: but for those with a right of its own; `COMPLIANCE`: nobody at all. */
  lockMode: string;
}

export interface S3Target {
  /** For messages: bucket and prefix. */
  url: string;
  bucket: string;
  /** '' or a path with `/` at its end. */
  prefix: string;
  endpoint: string | undefined;
  region: string | undefined;
  pathStyle: boolean | undefined;
  profile: string | undefined;
  keeping: Keeping;
}

const LOOKS = 's3://bucket/prefix?endpoint=https://s3.example.org&region=eu-1';
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/;

/** The parameters there are, each with what its value looks like. */
const PARAMETERS = {
  endpoint: /^https?:\/\/[^/?#@]+(\/[^?#@]*)?$/,
  region: /^[A-Za-z0-9-]+$/,
  pathStyle: /^(true|false)$/,
  profile: /^[^\0-\x1f\x7f[\]]+$/,
  storageClass: /^[A-Z0-9_-]+$/,
  encryption: /^(AES256|aws:kms)$/,
  encryptionKey: /^[\x21-\x7e]+$/,
  lockDays: /^[1-9]\d{0,4}$/,
  lockMode: /^(GOVERNANCE|COMPLIANCE)$/,
} as const;

/** @throws configuration */
export function readS3Target(text: string): S3Target {
  const shown = text.replace(/\/\/[^/?]*@/, '//…@');
  const refuse = (cause: unknown): GarnerError =>
    cannot('configuration', 'use store', shown, cause, { hint: `it looks like ${LOOKS}` });
  let url: URL;
  let prefix: string;
  try {
    url = new URL(text);
    prefix = decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, '');
  } catch (error) {
    throw refuse(error);
  }
  if (url.username !== '' || url.password !== '')
    throw refuse('keys have no place in a URL: name a credentialsFile');
  if (url.protocol !== 's3:' || !BUCKET.test(url.hostname) || url.port !== '' || url.hash !== '')
    throw refuse('it names no bucket');
  if (prefix !== '' && !prefix.split('/').every(isPlainName)) throw refuse('its prefix is odd');
  const values = readParameters(url.searchParams, refuse);
  const { encryption, encryptionKey, lockDays, lockMode } = values;
  if (encryptionKey !== undefined && encryption !== 'aws:kms')
    throw refuse('encryptionKey needs encryption=aws:kms');
  if (lockMode !== undefined && lockDays === undefined) throw refuse('lockMode needs lockDays');
  return {
    url: `s3://${url.hostname}${prefix === '' ? '' : `/${prefix}`}`,
    bucket: url.hostname,
    prefix: prefix === '' ? '' : `${prefix}/`,
    endpoint: values.endpoint,
    region: values.region,
    pathStyle: values.pathStyle === undefined ? undefined : values.pathStyle === 'true',
    profile: values.profile,
    keeping: {
      storageClass: values.storageClass,
      encryption,
      encryptionKey,
      lockDays: lockDays === undefined ? undefined : Number(lockDays),
      lockMode: lockMode ?? 'GOVERNANCE',
    },
  };
}

function readParameters(
  given: URLSearchParams,
  refuse: (cause: string) => GarnerError,
): Partial<Record<keyof typeof PARAMETERS, string>> {
  const values: Partial<Record<keyof typeof PARAMETERS, string>> = {};
  for (const [name, value] of given) {
    const looks = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name as keyof typeof PARAMETERS] : undefined;
    if (looks === undefined)
      throw refuse(`there is no parameter ${name}; there are ${Object.keys(PARAMETERS).join(', ')}`);
    if (values[name as keyof typeof PARAMETERS] !== undefined) throw refuse(`${name} is given twice`);
    if (!looks.test(value)) throw refuse(`"${value}" is no ${name}`);
    values[name as keyof typeof PARAMETERS] = value;
  }
  return values;
}
