// What archiver.yaml may hold, key by key; nothing of it is read here.
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { PULL_EVERY_MS } from '../archive/last-pull.ts';
import { checkApplication } from '../archive/name.ts';
import { durationSchema, policySchema } from '../lib/retention.ts';
import { parseSize } from '../lib/text.ts';
import { readS3Target } from '../stores/s3-target.ts';
import { bandwidthSchema } from './bandwidth.ts';

const absolutePath = z
  .string()
  .refine((text) => isAbsolute(text) && !text.includes('\0'), 'it is no absolute path');

/** @returns undefined where a file URL hides a `/` or a NUL, or is none */
function pathOf(url: string): string | undefined {
  try {
    const path = fileURLToPath(url);
    return path.includes('\0') ? undefined : path;
  } catch {
    return undefined;
  }
}

const archiveRoot = z.string().transform((text, context) => {
  if (isAbsolute(text) && !text.includes('\0')) return text;
  const path = /^file:\/\/\/./.test(text) ? pathOf(text) : undefined;
  if (path !== undefined) return path;
  const problem = URL.canParse(text)
    ? 'archives are verified where they lie: only a path or a file:// URL can hold them'
    : 'it is no absolute path';
  context.addIssue({ code: 'custom', message: problem });
  return z.NEVER;
});

const hostUrl = z.string().superRefine((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const refuse = (message: string): void => context.addIssue({ code: 'custom', message });
  if (url === undefined) refuse('it is no URL such as sftp://user@host/directory');
  else if (url.protocol === 'file:') {
    if (url.hostname !== '' || url.pathname === '/' || pathOf(text) === undefined)
      refuse('a file URL looks like file:///var/lib/garner/work');
  } else if (url.protocol === 's3:') {
    try {
      readS3Target(text);
    } catch (error) {
      refuse((error as Error).message);
    }
  } else if (url.protocol !== 'sftp:') refuse('only sftp://, s3:// and file:// URLs are stores');
  else if (url.hostname === '') refuse('it names no host');
});

const application = z.string().refine((text) => {
  const [name, ...instance] = text.split('.');
  try {
    checkApplication(name as string, instance.length > 0 ? instance.join('.') : undefined);
    return true;
  } catch {
    return false;
  }
}, 'it is no application such as mediawiki or mediawiki.blue');

const size = z.string('it is no size in quotes or with a unit, such as 50GB').transform((text, context) => {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  context.addIssue({ code: 'custom', message: `"${text}" is no size such as 500MB, 50GB` });
  return z.NEVER;
});

const hostKeys = z
  .array(z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}=?$/, 'it is no fingerprint such as SHA256:…'))
  .default([]);

const hostSchema = z.strictObject({
  url: hostUrl.describe(
    'where its work directory is: sftp://user@host:22/directory, s3://bucket/prefix, or file:///directory',
  ),
  identityFile: absolutePath.optional().describe('the private key to log in with'),
  hostKeys: hostKeys.describe(
    'fingerprints of its keys; with another one nothing is sent. `archiver init` shows them',
  ),
  credentialsFile: absolutePath
    .optional()
    .describe('the keys of an s3:// URL, as AWS has them in a file; unset: docs/object-storage.md'),
  applications: z
    .array(application)
    .min(1, 'leave it out to pull all')
    .optional()
    .describe('what is pulled: mediawiki, or mediawiki.blue for one instance; unset: all'),
  remove: z
    .boolean()
    .default(false)
    .describe('whether archives are removed at the host once they are safe here'),
  transfers: z.int().min(1).max(100).default(4).describe('how many of its archives are fetched at once'),
  bandwidth: bandwidthSchema.optional().describe('how fast bytes may come from it'),
  expect: z
    .record(application, durationSchema)
    .default({})
    .describe('how often each application should deliver; 0d: no more; unset: as it did so far'),
  quota: size
    .optional()
    .describe('more is not kept of it, bad archives and histories included; unset: no limit'),
});

const nameOf = (what: string) =>
  z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]*$/, `a ${what} name has lower-case letters, digits, dots and dashes only`)
    .max(180);

const targetSchema = z
  .strictObject({
    to: hostUrl.describe(
      'where archives go: sftp://user@host:22/directory, s3://bucket/prefix, or file:///directory',
    ),
    identityFile: absolutePath.optional().describe('the private key to log in with'),
    hostKeys: hostKeys.describe('fingerprints of its keys; with another one nothing is sent'),
    credentialsFile: absolutePath
      .optional()
      .describe('the keys of an s3:// URL, as AWS has them in a file; unset: docs/object-storage.md'),
    from: absolutePath
      .optional()
      .describe('the work directory that archives come from; unset: what is verified in the archive store'),
    remove: z
      .boolean()
      .default(false)
      .describe('whether archives are removed from the work directory once they are proven there'),
    bandwidth: bandwidthSchema.optional().describe('how fast bytes may go to it'),
    retention: policySchema.optional().describe('what stays there; unset: everything'),
  })
  .refine(({ from, remove }) => !remove || from !== undefined, {
    path: ['remove'],
    error: 'archives are removed from a work directory only: say `from` too',
  });

const checkSchema = z.strictObject({
  pull: durationSchema.default(PULL_EVERY_MS),
  verify: durationSchema.default(90 * 86_400_000),
});

/** What `docs/archiver-yaml.md` says of each key stands beside it. */
export const configurationSchema = z.strictObject({
  archive: archiveRoot
    .optional()
    .describe(
      'the archive store, where archives are kept and verified: an absolute path; needed for all but `push`',
    ),
  catalog: absolutePath
    .optional()
    .describe('what is known of archives; unset: `.catalog/catalog.sqlite` in the store'),
  parallel: z
    .int()
    .min(1)
    .max(1000)
    .default(20)
    .describe('how many hosts, and archives, are worked on at once'),
  bandwidth: bandwidthSchema
    .optional()
    .describe('how fast bytes may come from all hosts together, and go to targets'),
  check: checkSchema
    .prefault({})
    .describe(
      'how long no pull may run, and archives not be read again, until `archiver check` tells; unset: `{pull: 26h, verify: 90d}`; `0d`: for ever',
    ),
  retention: policySchema
    .optional()
    .describe('what stays of each application; unset: nothing is ever pruned'),
  hosts: z
    .record(nameOf('host'), hostSchema)
    .optional()
    .describe("the hosts that are pulled from, by the host part of their archives' names"),
  push: z
    .record(nameOf("target's"), targetSchema)
    .default({})
    .describe('where `archiver push` copies archives to, by names of yours'),
});
