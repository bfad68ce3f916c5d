// All transports there are, by name. A bundle, which can't wait while it is loaded, gets a list of imports from
// scripts/build.ts in the place of this file.
import { loadModule, moduleNames } from '../lib/modules.ts';
import type { Transport } from './transport.ts';

export const TRANSPORTS: ReadonlyMap<string, Transport> = new Map(
  await Promise.all(
    moduleNames('notifier/transports').map(
      async (name) => [name, await loadModule<Transport>('notifier/transports', name)] as const,
    ),
  ),
);
