// What a restore of Atlassian's applications needs and their archive lacks: what decrypts a database password (key files
// elsewhere on the host, a vault, the store that stands behind {ATL_SECURED}), and files in an object storage.
import { join } from 'node:path';
import { plainPassword, SECURED, type WrittenCredentials } from './atlassian.ts';
import { isBelow } from './atlassian-home.ts';
import type { Withheld } from './define-agent.ts';
import type { HostView } from './host-view.ts';

/** Below a home: where the keys and the secrets of the newer versions lie. */
const STORES = ['keys', 'secured', 'secrets-config.yaml'];

/** AES and its like: the password's text is JSON that names a sealed object and its key, unless the environment does. */
function keyFiles(password: string): string[] | undefined {
  try {
    const values = Object.entries(JSON.parse(password) as Record<string, unknown>);
    return values.filter(([name]) => name.endsWith('FilePath')).map(([, file]) => String(file));
  } catch {
    return undefined;
  }
}

/**
 * @param roots the directories that are in the archive, and homes that are below one
 * @returns what a restore on another host lacks to read the password
 */
export function withheldSecrets(
  credentials: WrittenCredentials,
  view: HostView,
  roots: readonly string[],
): Withheld[] {
  const { file, password, cipher } = credentials;
  if (plainPassword(credentials) !== undefined) return [];
  const anew = `after a restore write the password into ${file}, as plain text`;
  if (password === SECURED) {
    if (roots.some((root) => STORES.some((store) => view.exists(join(root, store))))) return [];
    return [{ what: `the secret storage that stands behind ${SECURED} in ${file}`, remedy: anew }];
  }
  const files = keyFiles(password);
  if (files === undefined || files.length === 0) {
    return [{ what: `what ${cipher} reads the password of ${file} with`, remedy: anew }];
  }
  return files
    .filter((key) => !roots.some((root) => isBelow(view.resolve(key), root)))
    .map((key) => ({ what: key, remedy: `keep a copy of it elsewhere, or ${anew}` }));
}

export const withheldBucket = (title: string, files: string, bucket: string): Withheld => ({
  what: `${files}, which ${title} keeps in the bucket ${bucket}`,
  remedy: 'keep restoration points of the bucket: bucket snapshot',
});
