// `garner config check`: reads each file that a command would read, the way it would.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { causeText, GarnerError } from '../lib/errors.ts';
import { moduleNames } from '../lib/modules.ts';
import { configDirectory, loadSettings } from '../lib/settings.ts';
import { knownSettings } from './known-settings.ts';

export interface CheckedFile {
  file: string;
  /** What is wrong with it, naming the file; undefined: nothing. */
  problem: string | undefined;
}

/** @returns each `.env` file, archiver.yaml, buckets.yaml, file of operations or of hooks of the configuration directory with what is wrong with it */
export async function checkConfiguration(): Promise<CheckedFile[]> {
  const directory = configDirectory();
  const known = await knownSettings();
  let names: string[] = [];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  const env = { GARNER_CONFIG_DIR: directory };
  const agents = moduleNames('agents');
  const shared = await check(join(directory, 'garner.env'), () => loadSettings(known, { known, env }));
  const { HOOKS_SUFFIX, readHooksFile } = await import('../agents/toolkit/hooks.ts');
  const isHooks = (name: string): boolean => name.startsWith('agent-') && name.endsWith(HOOKS_SUFFIX);
  const checked: CheckedFile[] = names.includes('garner.env') ? [shared] : [];
  for (const name of names) {
    if (!(name.endsWith('.env') && name !== 'garner.env') && !isHooks(name)) continue;
    const file = join(directory, name);
    const application = /^agent-([^.]*)/.exec(name)?.[1];
    if (application !== undefined && !agents.includes(application)) {
      checked.push({ file, problem: `no command reads "${file}": there is no agent-${application}` });
    } else if (isHooks(name)) {
      checked.push(await check(file, () => readHooksFile(file)));
    } else {
      const own = await check(file, () => loadSettings(known, { known, env, configFile: file }));
      // it is read together with garner.env, whose own problem is told once
      checked.push(own.problem === shared.problem ? { file, problem: undefined } : own);
    }
  }
  if (names.includes('archiver.yaml')) {
    const { checkArchiverFile } = await import('../archiver/configuration.ts');
    const file = join(directory, 'archiver.yaml');
    checked.push(await check(file, () => checkArchiverFile(file)));
  }
  if (names.includes('buckets.yaml')) {
    const { readBucketConfiguration } = await import('../bucket/configuration.ts');
    const file = join(directory, 'buckets.yaml');
    checked.push(await check(file, () => readBucketConfiguration(file)));
  }
  const { OPERATIONS_FILES, readOperations } = await import('../agents/toolkit/operations.ts');
  for (const name of OPERATIONS_FILES.filter((one) => names.includes(one))) {
    const file = join(directory, name);
    checked.push(await check(file, () => readOperations(file, [])));
  }
  return checked;
}

async function check(file: string, read: () => unknown): Promise<CheckedFile> {
  try {
    await read();
    return { file, problem: undefined };
  } catch (error) {
    const hint = error instanceof GarnerError && error.hint !== undefined ? ` (${error.hint})` : '';
    return { file, problem: `${causeText(error)}${hint}` };
  }
}
