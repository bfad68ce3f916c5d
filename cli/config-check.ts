// `garner config check`: reads each file that a command would read, the way it would.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { causeText, GarnerError } from '../lib/errors.ts';
import { configDirectory, loadSettings, type SettingTable } from '../lib/settings.ts';

export interface CheckedFile {
  file: string;
  /** What is wrong with it; undefined: nothing. */
  problem: string | undefined;
}

/** @returns each `.env` file and archiver.yaml of the configuration directory with what is wrong with it */
export async function checkConfiguration(known: SettingTable): Promise<CheckedFile[]> {
  const directory = configDirectory();
  let names: string[] = [];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  const checked = names
    .filter((name) => name === 'garner.env' || /^agent-[a-z0-9._]+\.env$/.test(name))
    .map((name) =>
      check(
        join(directory, name),
        () => void loadSettings(known, { known, env: {}, configFile: join(directory, name) }),
      ),
    );
  if (names.includes('archiver.yaml')) {
    const { readConfiguration } = await import('../archiver/configuration.ts');
    const file = join(directory, 'archiver.yaml');
    checked.push(check(file, () => void readConfiguration(file)));
  }
  return checked;
}

function check(file: string, read: () => void): CheckedFile {
  try {
    read();
    return { file, problem: undefined };
  } catch (error) {
    const hint = error instanceof GarnerError && error.hint !== undefined ? ` (${error.hint})` : '';
    return { file, problem: `${causeText(error)}${hint}` };
  }
}
