// The hosts of archiver.yaml, those that are pulled from and those that are pushed to: each has a key that is known, shows that
// one, and lets us in.
import { inParallel } from '../../../archiver/in-parallel.ts';
import { asGarnerError } from '../../../lib/errors.ts';
import { plural, shellWord } from '../../../lib/text.ts';
import { openStore } from '../../../stores/open.ts';
import { type ArchiverFile, readArchiverFile } from '../archiver-file.ts';
import { broken, type Check, type Finding, warning } from '../check.ts';

const CONNECT_LIMIT_MS = 10_000;
const AT_ONCE = 20;

export const hostKeys: Check = {
  name: 'host-keys',
  limitMs: 120_000,
  async run({ signal }) {
    const archiver = readArchiverFile();
    if (archiver === undefined) return { summary: 'no archiver.yaml', findings: [], isSkipped: true };
    const hosts = peersOf(archiver).filter(({ url }) => url.startsWith('sftp:'));
    if (hosts.length === 0) return { summary: 'no host is reached by SFTP', findings: [], isSkipped: true };
    const findings: Finding[] = [];
    await inParallel(hosts, { limit: AT_ONCE, places: { total: AT_ONCE, taken: 0 } }, async (host) => {
      findings.push(...(await judgeHost(host, signal)));
    });
    return { summary: plural(hosts.length, 'host'), findings };
  },
};

interface Peer {
  name: string;
  url: string;
  identityFile: string | undefined;
  hostKeys: string[];
  /** What tells its key. */
  learn: string;
  /** What tries again. */
  retry: string;
}

function peersOf({ file, hosts, targets }: ArchiverFile): Peer[] {
  return [
    ...hosts.map(({ name, url, identityFile, hostKeys }) => ({
      ...{ name, url, identityFile, hostKeys },
      learn: `archiver init ${name} --accept-new   # then compare it: ssh-keygen -lf on the host`,
      retry: `archiver pull ${name}`,
    })),
    ...targets.map(({ name, url, identityFile, hostKeys }) => ({
      ...{ name: `push.${name}`, url, identityFile, hostKeys },
      learn: `ssh-keyscan ${addressOf(url)} | ssh-keygen -lf -   # compare it, then: hostKeys in ${file}`,
      retry: `archiver push ${name}`,
    })),
  ];
}

function addressOf(url: string): string {
  const { hostname, port } = new URL(url);
  return `${port === '' ? '' : `-p ${port} `}${shellWord(hostname.replace(/^\[|\]$/g, ''))}`;
}

async function judgeHost(
  { name, url, identityFile, hostKeys, learn, retry }: Peer,
  signal: AbortSignal,
): Promise<Finding[]> {
  if (hostKeys.length === 0) {
    const why = 'nothing goes over that way: anybody could answer in its place';
    return [broken(`${name}: its host key is not known`, why, learn)];
  }
  try {
    await using _store = await openStore(url, {
      identityFile,
      hostKeys,
      connectTimeoutMs: CONNECT_LIMIT_MS,
      signal,
    });
    return [];
  } catch (caught) {
    signal.throwIfAborted();
    const { code, message, hint } = asGarnerError(caught);
    const remedy = hint ?? retry;
    if (code === 'host-key') {
      const why = 'it was set up anew, or somebody answers in its place; nothing goes over';
      return [broken(`${name}: ${message}`, why, remedy)];
    }
    return [warning(`${name}: ${message}`, 'nothing goes over that way now', remedy)];
  }
}
