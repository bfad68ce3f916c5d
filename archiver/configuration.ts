// archiver.yaml: where archives go, which hosts they come from, and how long they stay. Strict: what is misspelt, given
// twice or out of range is an error that names the file and the key; nothing is guessed.
import { realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, isScalar, parseDocument, visit } from 'yaml';
import type { z } from 'zod';
import { checkOwnership, readConfigurationText } from '../lib/configuration-file.ts';
import { writeFileDurably } from '../lib/durable.ts';
import { cannot, GarnerError } from '../lib/errors.ts';
import { registerUrlSecret } from '../lib/redact.ts';
import type { Policy } from '../lib/retention.ts';
import { configDirectory } from '../lib/settings.ts';
import { escapeControls } from '../lib/text.ts';
import type { Bandwidth } from './bandwidth.ts';
import { configurationSchema } from './configuration-schema.ts';

export interface HostConfiguration {
  /** Must equal the host part of its archives' names. */
  name: string;
  url: string;
  identityFile: string | undefined;
  /** Fingerprints `SHA256:…`; another key is refused. */
  hostKeys: string[];
  /** The keys of an `s3://` URL; undefined: the environment, AWS' own files, the role of the machine. */
  credentialsFile: string | undefined;
  /** `<application>` or `<application>.<instance>`; undefined: all. */
  applications: string[] | undefined;
  /** Whether archives are removed at the source once they are safe here. */
  remove: boolean;
  /** How many archives are fetched at once. */
  transfers: number;
  /** How fast bytes may come from it; undefined: no limit of its own. */
  bandwidth: Bandwidth | undefined;
  /** How often each application should deliver, in milliseconds. */
  expect: Record<string, number>;
  /** More than this is not kept of it, bad archives included; undefined: no limit. */
  quotaBytes: number | undefined;
}

/** Where archives are copied to from this host. */
export interface PushTarget {
  /** What messages and the command line call it. */
  name: string;
  url: string;
  identityFile: string | undefined;
  /** Fingerprints `SHA256:…`; another key is refused. */
  hostKeys: string[];
  /** The keys of an `s3://` URL; undefined: the environment, AWS' own files, the role of the machine. */
  credentialsFile: string | undefined;
  /** The work directory that archives come from; undefined: the archive store. */
  from: string | undefined;
  /** Whether archives go from the work directory once they are proven at the target. */
  remove: boolean;
  /** How fast bytes may go there, and come when they are read back; undefined: no limit of its own. */
  bandwidth: Bandwidth | undefined;
  /** What stays at the target; undefined: everything. */
  retention: Policy | undefined;
}

/** What `archiver push` reads: an application host has targets and no archive store. */
export interface PushConfiguration {
  file: string;
  /** The archive store and its catalog; undefined: there is none. */
  archives: { root: string; catalog: string } | undefined;
  /** How fast bytes may go to any target. */
  bandwidth: Bandwidth | undefined;
  targets: PushTarget[];
}

export interface ArchiverConfiguration {
  /** The configuration file, for messages. */
  file: string;
  /** The directory of the archives. */
  root: string;
  /** The catalog's file. */
  catalog: string;
  /** How many hosts are served, and archives fetched, at once; each host that is served may fetch one. */
  parallel: number;
  /** How fast bytes may come from all hosts together. */
  bandwidth: Bandwidth | undefined;
  /** After what `archiver check` tells that nothing was pulled, or read again; in milliseconds, 0: never. */
  check: { pullMs: number; verifyMs: number };
  /** undefined: nothing is ever pruned. */
  retention: Policy | undefined;
  hosts: HostConfiguration[];
}

/** @returns the configuration file: `--config`, else archiver.yaml in the directory of the configuration */
export function configurationFile(option: string | undefined): string {
  return option ?? join(configDirectory(), 'archiver.yaml');
}

/**
 * Reads archiver.yaml.
 * @throws configuration, naming file and key; configuration-permissions
 */
export function readConfiguration(file: string): ArchiverConfiguration {
  const { archive, catalog, hosts, retention, parallel, bandwidth, check } = readChecked(file);
  if (archive === undefined) throw unusable(file, 'archive: it is missing');
  if (hosts === undefined) throw unusable(file, 'hosts: it is missing');
  return {
    file,
    root: archive,
    catalog: catalog ?? catalogOf(archive),
    parallel,
    bandwidth,
    check: { pullMs: check.pull, verifyMs: check.verify },
    retention,
    hosts: Object.entries(hosts).map(([name, { quota, ...host }]) => ({
      name,
      ...host,
      quotaBytes: quota,
      identityFile: host.identityFile,
      credentialsFile: host.credentialsFile,
      applications: host.applications,
      bandwidth: host.bandwidth,
    })),
  };
}

/**
 * Reads the targets of `archiver push` in archiver.yaml.
 * @param names from the command line; none: all
 * @throws configuration, naming file and key; configuration-permissions; usage where a name is none of them
 */
export function readPushConfiguration(file: string, names: string[]): PushConfiguration {
  const { archive, catalog, push, bandwidth } = readChecked(file);
  const known = Object.keys(push);
  if (known.length === 0) throw unusable(file, 'push: it is missing');
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw cannot('usage', 'find target', unknown, `it is not in ${file}`, {
      hint: `targets there: ${known.join(', ')}`,
    });
  }
  const targets = Object.entries(push)
    .filter(([name]) => names.length === 0 || names.includes(name))
    .map(([name, { to, identityFile, credentialsFile, from, retention, bandwidth: own, ...target }]) => ({
      name,
      url: to,
      identityFile,
      credentialsFile,
      from,
      retention,
      bandwidth: own,
      ...target,
    }));
  const homeless = targets.find(({ from }) => from === undefined);
  if (archive === undefined && homeless !== undefined)
    throw unusable(file, `push.${homeless.name}.from: it is missing, and there is no archive store`);
  return {
    file,
    archives: archive === undefined ? undefined : { root: archive, catalog: catalog ?? catalogOf(archive) },
    bandwidth,
    targets,
  };
}

/** Reads the further places of the archive store in archiver.yaml: targets of `archiver push` that copies of it go to. */
export function readPlaces(file: string): Pick<PushConfiguration, 'targets' | 'bandwidth'> {
  if (Object.keys(readChecked(file).push).length === 0) return { targets: [], bandwidth: undefined };
  const { targets, bandwidth } = readPushConfiguration(file, []);
  return { targets: targets.filter(({ from }) => from === undefined), bandwidth };
}

/**
 * Reads archiver.yaml as those commands do that it is for: a host that only pushes has no archive store.
 * @throws configuration, naming file and key; configuration-permissions
 */
export function checkArchiverFile(file: string): void {
  const { archive, hosts, push } = readChecked(file);
  const pushes = Object.keys(push).length > 0;
  if (pushes) readPushConfiguration(file, []);
  if (!pushes || archive !== undefined || hosts !== undefined) readConfiguration(file);
}

function readChecked(file: string): z.output<typeof configurationSchema> {
  const content = validate(file, readText(file));
  const urls = [
    ...Object.values(content.hosts ?? {}).map(({ url }) => url),
    ...Object.values(content.push).map(({ to }) => to),
  ];
  urls.forEach(registerUrlSecret);
  checkOwnership(
    file,
    urls.some((url) => new URL(url).password !== ''),
  );
  return content;
}

function catalogOf(root: string): string {
  return join(root, '.catalog', 'catalog.sqlite');
}

/**
 * Picks the hosts that a command is about.
 * @param names from the command line; none: all
 * @throws usage where a name is not in the configuration
 */
export function selectHosts(configuration: ArchiverConfiguration, names: string[]): HostConfiguration[] {
  const unknown = names.find((name) => !configuration.hosts.some((host) => host.name === name));
  if (unknown !== undefined) {
    throw cannot('usage', 'find host', unknown, `it is not in ${configuration.file}`, {
      hint: `hosts there: ${configuration.hosts.map(({ name }) => name).join(', ') || 'none'}`,
    });
  }
  return names.length === 0
    ? configuration.hosts
    : configuration.hosts.filter(({ name }) => names.includes(name));
}

/** Adds a host's key to the configuration file; its comments and order stay, and it is old or new, never half. */
export function recordHostKey(file: string, host: string, fingerprint: string): void {
  const target = realpathSync(file);
  const document = parseDocument(readText(target));
  document.setIn(['hosts', host, 'hostKeys'], document.createNode([fingerprint], { flow: true }));
  validate(file, String(document));
  const { mode, gid } = statSync(target);
  writeFileDurably(target, String(document), { access: { mode: mode & 0o777, gid }, replace: true });
}

function readText(file: string): string {
  try {
    return readConfigurationText(file);
  } catch (error) {
    throw cannot('configuration', 'read', file, error, {
      hint: 'docs/archiver.md shows what goes into it; --config names another file',
    });
  }
}

function validate(file: string, text: string): z.output<typeof configurationSchema> {
  const document = parseDocument(text, { prettyErrors: true });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined)
    throw cannot('configuration', 'use', file, (problem.message.split('\n')[0] as string).replace(/:$/, ''));
  if (!isMap(document.contents))
    throw cannot('configuration', 'use', file, 'it is no list of keys and values');
  let content: unknown;
  try {
    visit(document, {
      Pair(_, { key }) {
        // what reads objects later on leaves out a key of this name
        if (!isScalar(key) || key.value === '__proto__') throw new Error(`${key}: it is no key`);
      },
    });
    content = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw cannot('configuration', 'use', file, error);
  }
  const result = configurationSchema.safeParse(content, { error: explain });
  if (result.success) return result.data;
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const key = [...issue.path, ...unknown].map(String).join('.');
  throw unusable(file, `${key === '' ? '' : `${key}: `}${issue.message}`);
}

function unusable(file: string, problem: string): GarnerError {
  return new GarnerError(
    'configuration',
    `cannot use "${escapeControls(file)}": ${escapeControls(problem)}`,
    {
      hint: 'docs/archiver.md describes every key',
    },
  );
}

/** Where a schema has no words of its own. */
function explain(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'unrecognized_keys') return 'unknown key';
  if (issue.code === 'invalid_key') return issue.issues[0]?.message;
  if (issue.code === 'invalid_type') {
    return issue.input === undefined ? 'it is missing' : `it must be ${issue.expected}`;
  }
  return undefined;
}
