// Configuration files: read whole, as UTF-8 text, from files that nobody else can change; those with a secret, that nobody
// else can read.
import { readFileSync, statSync } from 'node:fs';
import { parse as parseEnv } from 'dotenv';
import { cannot, GarnerError } from './errors.ts';

/** One that is larger is none, and some readers take the square of the time for it. */
const MAX_CONFIGURATION_BYTES = 1 << 20;

/** @returns the text of a file that holds one secret, without the line break at its end */
export function readSecretFile(file: string): string {
  try {
    checkOwnership(file, true);
    const secret = readConfigurationText(file).replace(/\r?\n$/, '');
    if (secret === '') throw cannot('configuration', 'read the secret file', file, 'it is empty');
    return secret;
  } catch (error) {
    if (error instanceof GarnerError) throw error;
    throw cannot('configuration', 'read the secret file', file, error);
  }
}

/**
 * Reads a configuration file, without a byte order mark.
 * @throws what the system says, or a text that says what is odd
 */
export function readConfigurationText(file: string): string {
  if (statSync(file).size > MAX_CONFIGURATION_BYTES)
    throw new Error(`it is larger than ${MAX_CONFIGURATION_BYTES} bytes`);
  const bytes = readFileSync(file);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error('it is no UTF-8 text');
  }
}

/**
 * Refuses a configuration file that is foreign, or that others can change, or read where it holds a secret.
 * @throws configuration-permissions, with the remedy as its hint
 */
export function checkOwnership(file: string, hasSecret: boolean): void {
  const { mode, uid } = statSync(file);
  if (uid !== 0 && uid !== process.getuid?.()) {
    throw cannot('configuration-permissions', 'use file', file, `it is owned by user ${uid}`, {
      hint: `chown root '${file}', or run as its owner`,
    });
  }
  if (mode & 0o002 || (hasSecret && mode & 0o004)) {
    throw cannot(
      'configuration-permissions',
      'use file',
      file,
      `it holds ${hasSecret ? 'a secret' : 'settings'} and others can ${mode & 0o002 ? 'write' : 'read'} it`,
      {
        hint: `chmod 600 '${file}'`,
      },
    );
  }
}

/**
 * Reads `NAME=value` lines. dotenv reads leniently; this refuses each line that it would read other than its writer meant.
 * @param file where they are from, for messages
 * @param checkName throws for a name that there is not
 * @throws configuration, naming file and line
 */
export function parseEnvLines(
  file: string,
  content: string,
  checkName: (name: string) => void,
): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [index, raw] of content.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const refuse = (problem: string, hint?: string): GarnerError =>
      cannot('configuration', 'use', file, `line ${index + 1}: ${problem}`, { hint });
    // some of them would end a line for one reader and not for another
    if (/[\0-\x08\x0b-\x1f\x7f\u2028\u2029]/.test(raw)) throw refuse('it has a control character');
    const match = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/.exec(line);
    if (match === null) throw refuse('it is not NAME=value');
    const [, name, value] = match as unknown as [string, string, string];
    checkName(name);
    if (Object.hasOwn(values, name)) throw refuse(`${name} is given twice`, 'keep one of the two lines');
    const quote = value[0] ?? '';
    if ('\'"`'.includes(quote) && quote !== '') {
      const end = value.indexOf(quote, 1);
      if (end === -1) throw refuse(`the value of ${name} has no closing ${quote}`);
      const rest = value.slice(end + 1).trim();
      if (rest !== '' && (!rest.startsWith('#') || rest.includes(quote))) {
        throw refuse(
          `the value of ${name} goes on after its closing ${quote}`,
          'quote it with another of \' " `',
        );
      }
    } else if (value.includes('#')) {
      throw refuse(
        `the value of ${name} has a # outside quotes`,
        `write ${name}='…' if it belongs to the value, else put the comment on a line of its own`,
      );
    }
    values[name] = parseEnv(line)[name] ?? '';
  }
  return values;
}
