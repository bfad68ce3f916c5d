// Where Atlassian's applications keep their files: a home that a setting or the installation names, a cluster's shared home,
// and what an administrator has put elsewhere by a link; and the version, by the installation.
import { join, relative } from 'node:path';
import { cannot } from '../../lib/errors.ts';
import type { TreeSource } from './define-agent.ts';
import type { HostView } from './host-view.ts';
import { jarVersion } from './jars.ts';
import { parseJavaProperties } from './java-properties.ts';

export const isBelow = (path: string, root: string): boolean => `${path}/`.startsWith(`${root}/`);

/** @returns a value of a properties file; undefined where it says nothing, or isn't there */
export function propertyOf(view: HostView, file: string, key: string): string | undefined {
  if (!view.exists(file)) return undefined;
  return parseJavaProperties(view.readText(file)).get(key)?.trim() || undefined;
}

/** Where an application is told its home. */
export interface HomePlaces {
  /** The value of our own setting, and its name. */
  named: string | undefined;
  setting: string;
  /** The installation's script that sets the environment, and the variable that counts there. */
  script: string;
  variable: string;
  /** The installation's file, and the key in it, which is a property of Java too. */
  pointer: string;
  key: string;
  fallback: string;
}

/**
 * What the script sets wins over the file, in which an older home may still stand.
 * @returns the home, without links
 * @throws application-configuration where the script computes it
 */
export function findHome(view: HostView, places: HomePlaces): string {
  const { named, script, pointer, key, fallback } = places;
  return view.resolve(
    named ??
      (view.exists(script) ? homeOfScript(view.readText(script), places) : undefined) ??
      propertyOf(view, pointer, key) ??
      fallback,
  );
}

/** One word of a shell, quoted or not, in which nothing is expanded. */
const LITERAL = /^(?:"([^"$`\\]*)"|'([^']*)'|([^\s"'$`\\;&|()<>]*))(?=[\s;]|$)/;

/** @returns the first group of the last line that matches and is no comment */
function lastOf(script: string, pattern: RegExp): string | undefined {
  const lines = script.split(/\r?\n/).filter((line) => !/^\s*#/.test(line));
  return lines.flatMap((line) => pattern.exec(line)?.[1] ?? []).at(-1);
}

/** `-Dkey=value`, as a rule within a quoted list of them. */
const javaProperty = (key: string): RegExp => new RegExp(`-D${RegExp.escape(key)}=(["'].*|[^\\s"']*)`);

/** @returns what a start script sets a property of Java to, as it stands there */
export const propertyOfScript = (view: HostView, script: string, key: string): string | undefined =>
  (view.exists(script) && lastOf(view.readText(script), javaProperty(key))) || undefined;

/** @param text `JIRA_HOME=…` or `-Djira.home=…`, as often as it is there: the last counts, a property first */
function homeOfScript(text: string, { script, variable, key, setting }: HomePlaces): string | undefined {
  const written =
    lastOf(text, javaProperty(key)) ?? lastOf(text, new RegExp(`^\\s*(?:export\\s+)?${variable}=(.*)$`));
  if (written === undefined) return undefined;
  const word = LITERAL.exec(written);
  if (word === null) {
    const cause = 'it is not written there literally';
    throw cannot('application-configuration', 'read the home from', script, cause, {
      hint: `set ${setting}`,
    });
  }
  return word.slice(1).find(Boolean); // `JIRA_HOME=""` stands there by default, and sets nothing
}

/**
 * @param shared a cluster's shared home, where there is one
 * @param leftOut what is made anew, by the same names below the home and below the shared home
 * @param directories below them as a rule, those above first, by names for trees: one that is elsewhere, or a link that
 *   leads there, is a tree of its own
 * @returns the home and the shared home, or of the two the one that the other is below; and what is elsewhere
 */
export function homeTrees(
  view: HostView,
  home: string,
  shared: string | undefined,
  leftOut: readonly string[],
  directories: Readonly<Record<string, string>> = {},
): TreeSource[] {
  const homes = new Map([[view.resolve(home), 'home']]);
  const sharedRoot = shared === undefined ? undefined : view.resolve(shared);
  if (sharedRoot !== undefined && !homes.has(sharedRoot)) homes.set(sharedRoot, 'shared');
  const roots = [...homes.keys()];
  const trees: TreeSource[] = [];
  for (const [root, name] of homes) {
    if (roots.some((other) => other !== root && isBelow(root, other))) continue;
    const inside = roots.filter((other) => isBelow(other, root)).map((other) => relative(root, other));
    trees.push({ name, root, excludes: inside.flatMap((below) => leftOut.map((path) => join(below, path))) });
  }
  for (const [name, directory] of Object.entries(directories)) {
    const real = view.resolve(directory);
    if (!trees.some((tree) => isBelow(real, tree.root))) trees.push({ name, root: real });
  }
  return trees;
}

/** Where an installation tells its version. */
export interface VersionPlaces {
  /** The setting that names the installation. */
  setting: string;
  install: string;
  /** A pom.properties with `version=`, below the installation. */
  pom?: string;
  /** The directory of the jars, below the installation, and the jar's name before its version. */
  jars: string;
  jar: string;
  /** What a setting says, where the installation says nothing. */
  named?: string | undefined;
}

/** @throws application-configuration where the installation doesn't tell it */
export function installedVersion(view: HostView, places: VersionPlaces): string {
  const { setting, install, pom, jars, jar, named } = places;
  const version =
    (pom === undefined ? undefined : propertyOf(view, join(install, pom), 'version')) ??
    jarVersion(join(install, jars), jar) ??
    named;
  if (version !== undefined) return version;
  const what = pom === undefined ? `no ${jar}-….jar names it` : 'neither pom.properties nor a jar names it';
  throw cannot('application-configuration', 'find the version in', install, what, { hint: `set ${setting}` });
}
