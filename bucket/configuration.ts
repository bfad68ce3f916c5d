// Which sets of buckets there are: buckets.yaml, or a configuration file of backup-my-bucket. Strict: what is misspelt, given twice
// or out of range is an error that names file and line. A file with a key in it must be its owner's alone.
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { checkOwnership, readConfigurationText } from '../lib/configuration-file.ts';
import { cannot } from '../lib/errors.ts';
import { registerSecret } from '../lib/redact.ts';
import { type Policy, policySchema } from '../lib/retention.ts';
import { configDirectory } from '../lib/settings.ts';
import { parseJson, parseYaml } from '../lib/strict-yaml.ts';

export interface BucketPlace {
  bucket: string;
  region: string;
}

/** One master bucket with its replica, and the directory of its restoration points. */
export interface BucketSet {
  name: string;
  /** The directory of the points. */
  points: string;
  /** Whether points are packed by gzip. */
  compress: boolean;
  /** As configured; which of the two is which today: roles.ts. */
  master: BucketPlace;
  replica: BucketPlace;
  /** undefined: the SDK's own, Amazon's unless AWS_ENDPOINT_URL says otherwise. */
  endpoint: string | undefined;
  /** Whether the bucket stands in the URL's path, not in the host's name; undefined: with an endpoint. */
  pathStyle: boolean | undefined;
  /** As AWS' tools have it, with the section that is meant; undefined: see `keys`. */
  credentialsFile: string | undefined;
  profile: string | undefined;
  /** The keys themselves; with neither, they are looked for: environment, ~/.aws, the instance's role. */
  keys: { accessKeyId: string; secretAccessKey: string } | undefined;
  /** Whether a snapshot first copies what differs from master to replica. */
  replicate: boolean;
  /** How many copies are made at once. */
  parallel: number;
  /** undefined: nothing is ever collected. */
  retention: Policy | undefined;
}

export interface BucketConfiguration {
  file: string;
  sets: BucketSet[];
  /** Where all that is told goes, and under which tag; undefined: to stderr. */
  systemLog: { tag: string; socket: string } | undefined;
  /** Whether nothing but failures is told. */
  quiet: boolean;
}

const HINT = 'docs/buckets.md describes every key';
const absolutePath = z
  .string()
  .refine((text) => isAbsolute(text) && !text.includes('\0'), 'it is no absolute path');
const bucketName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/, 'it is no name of a bucket')
  .refine((name) => !name.includes('..'), 'it is no name of a bucket');
const regionName = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'it is no name of a region');
const place = z.strictObject({ bucket: bucketName, region: regionName.default('us-east-1') });
const httpUrl = z
  .string()
  .refine((text) => /^https?:\/\/[^/]/.test(text) && URL.canParse(text), 'it is no http:// or https:// URL')
  .refine((text) => !URL.canParse(text) || new URL(text).password === '', 'keys do not belong into a URL');

const setSchema = z
  .strictObject({
    points: absolutePath,
    compress: z.boolean().default(true),
    master: place,
    replica: place,
    endpoint: httpUrl.optional(),
    pathStyle: z.boolean().optional(),
    credentialsFile: absolutePath.optional(),
    profile: z.string().min(1, 'it is empty').optional(),
    replicate: z.boolean().default(false),
    parallel: z.int().min(1).max(1000).default(32),
    retention: policySchema.optional(),
  })
  .refine(({ master, replica }) => master.bucket !== replica.bucket, {
    path: ['replica'],
    error: 'it is the master itself',
  });

const yamlSchema = z.strictObject({
  /** `true`, or where the daemon listens. */
  syslog: z.union([z.boolean(), absolutePath], 'it is neither true nor false nor a path').default(false),
  sets: z
    .record(
      z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a name has lower-case letters, digits, . _ -'),
      setSchema,
    )
    .refine((sets) => Object.keys(sets).length > 0, 'there is none'),
});

const wholeNumber = z
  .int('it is no whole number')
  .min(0, 'it is negative')
  .max(100_000, 'it is implausibly large');

/** Go leaves out what is not there: zero, false, empty. */
const originalSchema = z.strictObject({
  LogLevel: wholeNumber.default(0),
  AwsLogLevel: wholeNumber.default(0),
  Syslog: z.boolean().default(false),
  BackupSet: z.strictObject({
    SnapshotsDir: absolutePath,
    CompressSnapshots: z.boolean().default(false),
    MinimumRedundancy: wholeNumber.default(0),
    RetentionPolicy: wholeNumber.default(0),
    MasterBucket: bucketName,
    MasterRegion: regionName,
    SlaveBucket: bucketName,
    SlaveRegion: regionName,
    AccessKey: z.string().default(''),
    SecretKey: z.string().default(''),
  }),
});

const DEV_LOG = '/dev/log';
const DAY_MS = 86_400_000;
/** The set of a file of the original, which has no name for it. */
const ONLY_SET = 'default';

/** @returns the configuration file: `--config`, else buckets.yaml in the directory of the configuration */
export function bucketConfigurationFile(option: string | undefined): string {
  return option ?? join(configDirectory(), 'buckets.yaml');
}

/**
 * Reads a configuration file; one that begins with a brace is backup-my-bucket's.
 * @throws configuration, naming file and line; configuration-permissions
 */
export function readBucketConfiguration(file: string): BucketConfiguration {
  let text: string;
  try {
    text = readConfigurationText(file);
  } catch (error) {
    throw cannot('configuration', 'read', file, error, {
      hint: `${HINT}; --config names another file`,
    });
  }
  return text.trimStart().startsWith('{') ? readOriginal(file, text) : readOwn(file, text);
}

function readOwn(file: string, text: string): BucketConfiguration {
  const { syslog, sets } = parseYaml(text, { file, schema: yamlSchema, hint: HINT });
  const all = Object.entries(sets);
  checkOwnership(file, false);
  checkShared(file, all);
  return {
    file,
    systemLog: syslog === false ? undefined : { tag: 'bucket', socket: syslog === true ? DEV_LOG : syslog },
    quiet: false,
    sets: all.map(([name, set]) => ({
      name,
      ...set,
      pathStyle: set.pathStyle,
      endpoint: set.endpoint,
      credentialsFile: set.credentialsFile,
      profile: set.profile,
      keys: undefined,
      retention: set.retention,
    })),
  };
}

/** Each set knows its own points only: a collection of one would remove versions that points of the other name. */
function checkShared(file: string, sets: [string, z.output<typeof setSchema>][]): void {
  for (const [index, [name, set]] of sets.entries()) {
    for (const [otherName, other] of sets.slice(0, index)) {
      const refuse = (what: string): Error =>
        cannot('configuration', 'use', file, `sets ${otherName} and ${name} share ${what}`, {
          hint: 'a replica and a directory of points belong to one set; one master may have several',
        });
      if (resolve(set.points) === resolve(other.points)) throw refuse(set.points);
      if (set.endpoint !== other.endpoint) continue;
      const [own, others] = [set, other].map(({ master, replica }) => [master.bucket, replica.bucket]);
      const shared = own?.find((bucket) => others?.includes(bucket));
      const isBothMaster = shared === set.master.bucket && shared === other.master.bucket;
      if (shared !== undefined && (!isBothMaster || set.replica.bucket === other.replica.bucket))
        throw refuse(`s3://${isBothMaster ? set.replica.bucket : shared}`);
    }
  }
}

function readOriginal(file: string, text: string): BucketConfiguration {
  const { LogLevel, Syslog, BackupSet } = parseJson(text, { file, schema: originalSchema, hint: HINT });
  const { AccessKey, SecretKey, MinimumRedundancy, RetentionPolicy } = BackupSet;
  checkOwnership(file, SecretKey !== '');
  registerSecret(SecretKey);
  if ((AccessKey === '') !== (SecretKey === '')) {
    throw cannot('configuration', 'use', file, 'one of AccessKey and SecretKey is empty', {
      hint: 'both empty: keys are looked for where the AWS SDK looks',
    });
  }
  if (BackupSet.MasterBucket === BackupSet.SlaveBucket)
    throw cannot('configuration', 'use', file, 'MasterBucket and SlaveBucket are the same');
  // the newest good point always stays: zero would delete all
  const minimum = Math.max(1, MinimumRedundancy);
  return {
    file,
    systemLog: Syslog ? { tag: 'backup-my-bucket', socket: DEV_LOG } : undefined,
    quiet: LogLevel === 0,
    sets: [
      {
        name: ONLY_SET,
        points: BackupSet.SnapshotsDir,
        compress: BackupSet.CompressSnapshots,
        master: { bucket: BackupSet.MasterBucket, region: BackupSet.MasterRegion },
        replica: { bucket: BackupSet.SlaveBucket, region: BackupSet.SlaveRegion },
        endpoint: undefined,
        pathStyle: undefined,
        credentialsFile: undefined,
        profile: undefined,
        keys: SecretKey === '' ? undefined : { accessKeyId: AccessKey, secretAccessKey: SecretKey },
        replicate: false,
        parallel: 32,
        retention: policySchema.parse({
          last: minimum,
          minimum,
          within: `${(RetentionPolicy * DAY_MS) / 1000}s`,
        }),
      },
    ],
  };
}

/**
 * Picks the sets that a command is about.
 * @param names from the command line; none: all
 * @throws usage where a name is not in the configuration
 */
export function selectSets({ file, sets }: BucketConfiguration, names: string[]): BucketSet[] {
  const unknown = names.find((name) => !sets.some((set) => set.name === name));
  if (unknown !== undefined) {
    throw cannot('usage', 'find set', unknown, `it is not in ${file}`, {
      hint: `sets there: ${sets.map(({ name }) => name).join(', ')}`,
    });
  }
  return names.length === 0 ? sets : sets.filter(({ name }) => names.includes(name));
}

/** @returns the one set that a command is about: the named one, or the only one there is. @throws usage */
export function selectSet(configuration: BucketConfiguration, name: string | undefined): BucketSet {
  const [set, other] = selectSets(configuration, name === undefined ? [] : [name]) as [BucketSet, BucketSet?];
  if (other === undefined) return set;
  throw cannot('usage', 'choose a set of', configuration.file, 'there are several', {
    hint: `say --set, such as --set ${set.name}`,
  });
}
