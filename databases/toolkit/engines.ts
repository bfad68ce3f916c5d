// Finds engines by name and by URL.
import { cannot } from '../../lib/errors.ts';
import { loadModule, moduleNames } from '../../lib/modules.ts';
import type { Engine } from './engine.ts';

/** @throws configuration for an engine that garner doesn't have */
export async function loadEngine(name: string): Promise<Engine> {
  const names = moduleNames('databases');
  if (!names.includes(name)) {
    throw cannot('configuration', 'use database engine', name, `there are ${names.join(', ')}`);
  }
  return loadModule<Engine>('databases', name);
}

/**
 * Reads a database URL: `mysql://user:password@host:3306/name`, `postgresql://…`, `sqlite:///path/to/file`.
 * @param setting where it comes from, for the message; the URL itself may hold a password
 */
export async function connectionFromUrl(
  url: string,
  setting: string,
): Promise<{ engine: Engine; connection: unknown }> {
  const scheme = /^([a-z][a-z0-9+]*):/.exec(url)?.[1];
  for (const name of moduleNames('databases')) {
    const engine = await loadModule<Engine>('databases', name);
    if (scheme === undefined || !engine.schemes.includes(scheme)) continue;
    if (!isDecodable(url)) break;
    if (engine.connectionFromText !== undefined) {
      return { engine, connection: engine.connectionFromText(url) };
    }
    if (!URL.canParse(url)) break;
    return { engine, connection: engine.connectionFromUrl(new URL(url)) };
  }
  throw cannot('configuration', 'use setting', setting, 'it is no database URL that garner knows', {
    hint: 'mysql://user@host:3306/name, postgresql://user@host:5432/name, sqlite:///path/to/file; docs/databases.md has those of other engines; a % in it is written %25',
  });
}

/** @returns false where a % stands for itself: passwords often do not come percent-encoded */
function isDecodable(url: string): boolean {
  try {
    decodeURIComponent(url);
    return true;
  } catch {
    return false;
  }
}
