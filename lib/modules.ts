// The folder is the registry: what a folder's files export by default is what there is of that kind.
import { readdirSync } from 'node:fs';

/** @returns the names of the modules in a folder, without `.ts`, sorted */
export function moduleNames(folder: URL): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && /^[a-z][a-z0-9-]*\.ts$/.test(entry.name))
    .map((entry) => entry.name.slice(0, -'.ts'.length))
    .sort();
}

/** @returns the default export of one module of a folder; the name must be among {@link moduleNames} */
export async function loadModule<T>(folder: URL, name: string): Promise<T> {
  return (await import(new URL(`${name}.ts`, folder).href)).default;
}
