// slapd's own tools, which read and write its databases without it.
import { accessSync, constants, readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cannot } from '../../lib/errors.ts';
import { capture } from '../../lib/process.ts';
import { findProgram } from '../../lib/program.ts';
import { readSlapdConfig } from './slapd-config.ts';

export interface LdapConnection {
  /** slapd.d or slapd.conf. */
  config: string;
  /** The database, by what all its entries end in: `dc=example,dc=org`. */
  suffix: string;
}

/** @param name `slapcat`, `slapadd`, `slapd`: in a directory that the PATH of many accounts lacks */
export function findTool(name: string): string {
  try {
    return findProgram([name], 'slapd');
  } catch (error) {
    const path = `/usr/sbin/${name}`;
    try {
      accessSync(path, constants.X_OK);
    } catch {
      throw error;
    }
    return path;
  }
}

/** @returns the options that name a database to slapd's tools; -g: without those that are glued to it, which have their own dumps */
export function toolOptions({ config, suffix }: LdapConnection): string[] {
  return [statSync(config).isDirectory() ? '-F' : '-f', config, '-g', '-b', suffix];
}

/** @returns where a database lies */
export function directoryOf({ config, suffix }: LdapConnection): string {
  const found = readSlapdConfig(config).find((database) => database.suffix === suffix);
  if (found !== undefined) return found.directory;
  throw cannot('application-configuration', 'find database', suffix, `${config} has none of that suffix`);
}

/** @returns slapd's version: `2.5.13+dfsg-5` */
export async function slapdVersion(signal: AbortSignal): Promise<string> {
  const { stdout, stderr } = await capture({ file: findTool('slapd'), args: ['-VV'] }, { signal });
  return /slapd (\S+)/.exec(stdout + stderr)?.[1] ?? 'unknown';
}

/** @returns the process that has a file open, as far as this account may see */
export function openedBy(file: string): number | undefined {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const fds = join('/proc', pid, 'fd');
      for (const fd of readdirSync(fds)) {
        if (!readlinkSync(join(fds, fd)).endsWith('.mdb')) continue;
        const other = statSync(join(fds, fd));
        if (other.ino === stat.ino && other.dev === stat.dev) return Number(pid);
      }
    } catch {
      // it has ended, or is another account's
    }
  }
  return undefined;
}
