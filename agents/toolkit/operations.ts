// The operations of agent-command: named commands that fill a folder. Read from operations.yaml, or from a config.json as Hamster has
// it. Only files are read that nobody else could have written: garner runs what they say.
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { instanceName } from '../../archive/name.ts';
import { checkOwnership } from '../../lib/configuration-file.ts';
import { cannot, GarnerError } from '../../lib/errors.ts';
import { registerSecret } from '../../lib/redact.ts';
import { configDirectory } from '../../lib/settings.ts';
import { parseJson, parseYaml } from '../../lib/strict-yaml.ts';
import { readTrustedText } from '../../lib/trusted-file.ts';
import { readS3Target } from '../../stores/s3-target.ts';
import { passwordsIn } from './operations-text.ts';
import { hamsterTarget, type UploadTarget } from './operations-upload.ts';

export interface Operation {
  /** As the file has it; also the folder's name. */
  name: string;
  /** For a shell, with `$Name` and `$Date` yet to be filled in. */
  command: string;
  /** What the result is called elsewhere, with `$Name` and `$Date`; `.zip` at its end makes it a zip. */
  fileName: string | undefined;
  persianDate: boolean;
}

export interface OperationsFile {
  file: string;
  operations: Operation[];
  /** Where results are uploaded to; undefined: they stay here. */
  target: UploadTarget | undefined;
}

/** How the file is called, where nothing says so. */
export const OPERATIONS_FILES = ['operations.yaml', 'operations.json', 'config.json'];
const HINT = 'docs/operations.md shows what goes into it';

/** It names a folder, and goes into a shell command. */
const name = z
  .string()
  .regex(/^[^/\0-\x1f\x7f]{1,100}$/, 'a name has 1 to 100 characters, no slash and no control character')
  .regex(/^[^.-]/, 'a name does not begin with a dot or a dash');
const command = z.string().refine((text) => text.trim() !== '' && !text.includes('\0'), 'it is empty');
const fileName = z.string().regex(/^[^\0-\x1f\x7f]{1,500}$/, 'it is no file name');

/** What stands below the name of an operation. */
export const operationSchema = z.strictObject({
  command,
  fileName: fileName.optional(),
  persianDate: z.boolean().default(false),
});

/** @returns what a function reads; what it finds wrong is an issue of the file */
function readTarget(
  read: () => UploadTarget | undefined,
  context: z.RefinementCtx,
): UploadTarget | undefined {
  try {
    const target = read();
    if (target !== undefined) readS3Target(target.url);
    return target;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    context.addIssue({ code: 'custom', message });
    return undefined;
  }
}

const yamlSchema = z
  .strictObject({
    bucket: z.string().optional(),
    credentialsFile: z.string().regex(/^\//, 'it is no absolute path').optional(),
    operations: z.record(name, operationSchema),
  })
  .transform(({ operations, bucket: url, credentialsFile }, context) => ({
    operations: Object.entries(operations).map(([name, { fileName, ...rest }]) => ({
      name,
      fileName,
      ...rest,
    })),
    secretKey: '',
    target: readTarget(
      () => (url === undefined ? undefined : { url, credentialsFile, credentials: undefined }),
      context,
    ),
  }));

const hamsterSchema = z
  .strictObject({
    EndpointURL: z.string().default(''),
    AccessKey: z.string().default(''),
    SecretKey: z.string().default(''),
    Bucket: z.string().default(''),
    Operations: z.array(
      z.strictObject({
        Name: name,
        Command: command,
        RemoteFileName: fileName.optional(),
        PersianDate: z.boolean().default(false),
      }),
    ),
  })
  .transform(({ Operations, ...server }, context) => ({
    operations: Operations.map(({ Name, Command, RemoteFileName, PersianDate }) => ({
      name: Name,
      command: Command,
      fileName: RemoteFileName,
      persianDate: PersianDate,
    })),
    secretKey: server.SecretKey,
    target: readTarget(() => hamsterTarget(server), context),
  }));

/**
 * Reads the operations. Passwords in their commands, and the key of a bucket, are registered as secrets.
 * @param given a file; undefined: the first there is beside the command, then in the directory of the configuration
 * @param beside directories of the command
 * @throws configuration, naming file and line; configuration-permissions
 */
export function readOperations(given: string | undefined, beside: readonly string[]): OperationsFile {
  const places = [...beside, configDirectory()].flatMap((place) =>
    OPERATIONS_FILES.map((file) => join(place, file)),
  );
  for (const file of given === undefined ? places : [resolve(given)]) {
    const text = readIfThere(file);
    if (text !== undefined) return parse(file, text);
  }
  if (given !== undefined) throw cannot('configuration', 'read', given, 'no such file', { hint: HINT });
  const where = [...new Set(places.map((place) => join(place, '..')))].join(', ');
  throw cannot('configuration', 'find', OPERATIONS_FILES.join('" or "'), `there is none in ${where}`, {
    hint: `--config FILE or COMMAND_OPERATIONS names another; ${HINT}`,
  });
}

function readIfThere(file: string): string | undefined {
  // a place where others may write is no error until there is something in it
  if (!existsSync(file)) return undefined;
  try {
    return readTrustedText(file);
  } catch (error) {
    if (error instanceof GarnerError) throw error;
    throw cannot('configuration', 'read', file, error);
  }
}

function parse(file: string, text: string): OperationsFile {
  const isYaml = /\.ya?ml$/.test(file);
  const { operations, secretKey, target } = isYaml
    ? parseYaml(text, { file, schema: yamlSchema, hint: HINT })
    : parseJson(text, { file, schema: hamsterSchema, hint: HINT });
  const secrets = [secretKey, ...operations.flatMap(({ command }) => passwordsIn(command))].filter(Boolean);
  for (const secret of secrets) registerSecret(secret);
  checkOwnership(file, secrets.length > 0);
  const seen = new Set<string>();
  for (const { name } of operations) {
    if (seen.has(name))
      throw cannot('configuration', 'use', file, `the operation ${name} is there twice`, { hint: HINT });
    seen.add(name);
  }
  if (operations.length === 0)
    throw cannot('configuration', 'use', file, 'it has no operation', { hint: HINT });
  return { file, operations, target };
}

/**
 * @param wanted names from the command line; case matters only where two differ by nothing else
 * @throws usage, naming the operations there are
 */
export function selectOperations(
  { file, operations }: OperationsFile,
  wanted: readonly string[],
): Operation[] {
  const hint = `${basename(file)} has ${operations.map(({ name }) => name).join(', ')}`;
  const selected = wanted.map((name) => {
    const alike = operations.filter((one) => one.name.toLowerCase() === name.toLowerCase());
    const found = alike.find((one) => one.name === name) ?? (alike.length === 1 ? alike[0] : undefined);
    if (found === undefined)
      throw cannot('usage', 'run operation', name, 'there is no such operation', { hint });
    return found;
  });
  if (selected.length > 0) return [...new Set(selected)];
  if (operations.length === 1) return operations;
  throw cannot('usage', 'run operation of', file, 'none is named', {
    hint: `${hint}; --all runs all`,
  });
}

/** @returns the instance of an operation's archives, where the agent itself may be one of several */
export function operationInstance({ name }: Operation, agentInstance: string | undefined): string {
  return instanceName(agentInstance === undefined ? name : `${agentInstance}/${name}`);
}
