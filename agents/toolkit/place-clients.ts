// Where the clients of an application's databases run: on this host, or in the container that GARNER_CONTAINER names.
import { enterContainer } from '../../databases/toolkit/container.ts';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { loadEngine } from '../../databases/toolkit/engines.ts';
import { cannot } from '../../lib/errors.ts';
import type { AgentContext } from './define-agent.ts';

/** @throws container where it can't be used */
export async function placeClients({ settings, signal }: AgentContext): Promise<void> {
  const {
    GARNER_CONTAINER: name,
    GARNER_CONTAINER_ENGINE: engine,
    GARNER_CONTAINER_SERVER: server,
  } = settings;
  await enterContainer(name === undefined ? undefined : { name, engine, server }, signal);
}

/** @throws configuration where the databases are none that a container's clients are run for: the setting would do nothing */
export async function checkPlaces(
  databases: readonly DatabaseSource[],
  { settings }: AgentContext,
): Promise<void> {
  if (settings.GARNER_CONTAINER === undefined || databases.length === 0) return;
  const names = [...new Set(databases.map(({ engine }) => engine))];
  const engines = await Promise.all(names.map(loadEngine));
  if (engines.some(({ runsInContainer }) => runsInContainer)) return;
  throw cannot('configuration', 'use setting', 'GARNER_CONTAINER', `it is not for ${names.join(', ')}`, {
    hint: 'a file of a container lies in a volume, a directory of this host: name that one; a server is reached by a port',
  });
}
