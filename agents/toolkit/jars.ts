// Versions of Java applications by the names of their jar files.
import { readdirSync } from 'node:fs';

/**
 * @param directory where the jars lie; need not exist
 * @param prefix the jar's name before its version: `confluence` for `confluence-9.2.1.jar`, not for
 *   `confluence-editor-9.2.1.jar`
 * @returns the version; undefined where no jar names it, or several name different ones
 */
export function jarVersion(directory: string, prefix: string): string | undefined {
  const name = new RegExp(`^${RegExp.escape(prefix)}-(\\d+(?:\\.\\d+)+(?:[-.][A-Za-z0-9]+)*)\\.jar$`);
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return undefined;
  }
  const versions = new Set(
    names.map((jar) => name.exec(jar)?.[1]).filter((version) => version !== undefined),
  );
  return versions.size === 1 ? [...versions][0] : undefined;
}
