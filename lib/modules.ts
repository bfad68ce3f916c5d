// The folder is the registry: what a folder's files export by default is what there is of that kind. In a bundle, which
// has no folders, scripts/build.ts puts a list in the place of this file.
import { readdirSync } from 'node:fs';

/** A folder of modules of one kind, from the top of the project. */
export type Folder = 'agents' | 'databases' | 'notifier/transports';

function urlOf(folder: Folder): URL {
  return new URL(`../${folder}/`, import.meta.url);
}

/** @returns the names of the modules in a folder, without `.ts`, sorted */
export function moduleNames(folder: Folder): string[] {
  return readdirSync(urlOf(folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && /^[a-z][a-z0-9-]*\.ts$/.test(entry.name))
    .map((entry) => entry.name.slice(0, -'.ts'.length))
    .sort();
}

/** @returns the default export of one module of a folder; the name must be among {@link moduleNames} */
export async function loadModule<T>(folder: Folder, name: string): Promise<T> {
  return (await import(new URL(`${name}.ts`, urlOf(folder)).href)).default;
}
