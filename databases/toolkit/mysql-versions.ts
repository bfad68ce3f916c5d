// Which client meets which server: MySQL's and MariaDB's have grown apart, and an older client does not know what a newer
// server has. What a client can do is asked of its own --help, never guessed from its version.
import { basename } from 'node:path';
import { captureOk } from '../../lib/process.ts';
import { clientCommand } from './container.ts';
import type { DumpFacts } from './engine.ts';

export interface Version {
  kind: 'MariaDB' | 'MySQL';
  major: number;
  /** For people: `10.11.19`. */
  text: string;
}

/**
 * @param text what `--version` prints, or a server's `VERSION()`:
 *   `mysqldump  Ver 8.0.36 for Linux`, `… Ver 10.19 Distrib 10.11.19-MariaDB, …`, `mariadb-dump from 11.4.2-MariaDB, …`,
 *   `5.5.5-10.4.8-MariaDB`, `8.0.36-28`
 */
export function readVersion(text: string): Version {
  const [, distribution, version, plain] =
    /(?:Distrib|from) ([\d.]+)|Ver ([\d.]+) for|^(?:5\.5\.5-)?(\d[\d.]*)/.exec(text) ?? [];
  const number = distribution ?? version ?? plain;
  return {
    kind: /mariadb/i.test(text) ? 'MariaDB' : 'MySQL',
    major: Number.parseInt(number ?? '0', 10),
    text: number ?? 'unknown',
  };
}

export interface DumpClient extends Version {
  file: string;
  /** @returns whether `--help` has the option */
  knows(option: string): boolean;
}

export async function probeClient(file: string, signal: AbortSignal): Promise<DumpClient> {
  const version = readVersion(await captureOk(clientCommand({ file, args: ['--version'] }), { signal }));
  const help = await captureOk(clientCommand({ file, args: ['--help'] }), { signal });
  return { ...version, file, knows: (option) => new RegExp(`--${option}\\b`).test(help) };
}

/** @returns warnings of a pair whose dumps may lack what only the server knows */
export function judgePair(client: DumpClient, server: Version): DumpFacts['warnings'] {
  const name = `${basename(client.file)} ${client.text}`;
  const theServer = `the server is ${server.kind} ${server.text}`;
  const remedy = `install a client of ${server.kind} ${server.major} or newer${server.kind === 'MariaDB' ? ' (apt-get install mariadb-client)' : ' (mysql-client of MySQL)'}`;
  if (client.kind !== server.kind) {
    const message = `${name} is ${client.kind}'s, ${theServer}: what only ${server.kind} has may be missing from the dump; ${remedy}`;
    return [{ code: 'client-version', message }];
  }
  if (client.major < server.major) {
    const message = `${name} is older than the server, ${theServer}: what it doesn't know may be missing from the dump; ${remedy}`;
    return [{ code: 'client-version', message }];
  }
  return [];
}
