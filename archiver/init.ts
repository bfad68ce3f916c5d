// Sets the archive store up: its directory, the mark that it is there, the catalog, and the hosts' keys. Run again, it
// adds what is missing and changes nothing else.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory, writeFileDurably } from '../lib/durable.ts';
import { asGarnerError, cannot } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { info, warn } from '../lib/log.ts';
import { openStore } from '../stores/open.ts';
import { createCatalog, openCatalog } from './catalog/catalog.ts';
import { type HostConfiguration, recordHostKey } from './configuration.ts';
import { checkMark, MARK, storedArchives } from './layout.ts';
import type { Setup } from './run.ts';
import { lockStore } from './store-lock.ts';

export interface InitReport {
  archive: string;
  catalog: string;
  /** What was made now; nothing where all was there. */
  made: ('archive' | 'catalog')[];
  hosts: {
    host: string;
    hostKey: 'known' | 'recorded' | 'unknown';
    fingerprint?: string;
    message?: string;
  }[];
}

/**
 * @param acceptNew records the keys that hosts without one in the configuration offer
 * @throws archive-store, catalog, locked
 */
export async function init(setup: Setup, acceptNew: boolean): Promise<InitReport> {
  const { configuration, hosts, settings } = setup;
  const { root, catalog } = configuration;
  using running = runSignal('init', settings.GARNER_TIMEOUT);
  const report: InitReport = { archive: root, catalog, made: [], hosts: [] };
  try {
    makeDirectory(root);
  } catch (error) {
    throw cannot('archive-store', 'make the archive store', root, error);
  }
  using _lock = lockStore(setup);
  if (!existsSync(join(root, MARK))) {
    writeFileDurably(
      join(root, MARK),
      'Archives of garner lie here. Without this file, nothing is pulled or pruned.\n',
    );
    report.made.push('archive');
  }
  checkMark(root);
  if (!existsSync(catalog)) {
    createCatalog(catalog);
    report.made.push('catalog');
    if (configuration.hosts.some(({ name }) => storedArchives(root, name).length > 0))
      warn('there are archives that the new catalog does not know: archiver rescan adds them');
  }
  await using _checked = openCatalog(catalog);
  info(`the archive store is ${root}, the catalog ${catalog}`);
  for (const host of hosts.filter(({ url }) => url.startsWith('sftp:'))) {
    report.hosts.push(await learnKey(configuration.file, host, acceptNew, running.signal));
  }
  return report;
}

async function learnKey(
  file: string,
  host: HostConfiguration,
  acceptNew: boolean,
  signal: AbortSignal,
): Promise<InitReport['hosts'][number]> {
  const { name, url, identityFile, hostKeys } = host;
  if (hostKeys.length > 0) return { host: name, hostKey: 'known' };
  let offered: string | undefined;
  let problem: string | undefined;
  try {
    const acceptNewHostKey = acceptNew
      ? (fingerprint: string): void => {
          offered = fingerprint;
        }
      : undefined;
    await using _store = await openStore(url, { identityFile, hostKeys, acceptNewHostKey, signal });
  } catch (error) {
    signal.throwIfAborted();
    const { message, hint } = asGarnerError(error);
    problem = hint === undefined ? message : `${message} (hint: ${hint})`;
  }
  if (offered === undefined) {
    warn(`${name}: ${problem}`);
    return { host: name, hostKey: 'unknown', message: problem ?? 'it offered no key' };
  }
  // the key is the host's whether or not it lets us in
  recordHostKey(file, name, offered);
  info(`${name}: its key ${offered} was written to ${file}; compare it with: ssh-keygen -lf on the host`);
  if (problem !== undefined) warn(`${name}: ${problem}`);
  return {
    host: name,
    hostKey: 'recorded',
    fingerprint: offered,
    ...(problem !== undefined && { message: problem }),
  };
}
