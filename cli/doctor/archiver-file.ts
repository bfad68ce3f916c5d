// What archiver.yaml names, for checks that go by it; what is wrong with the file is told by the check of the configuration.
import { existsSync } from 'node:fs';
import {
  configurationFile,
  type HostConfiguration,
  type PushTarget,
  readConfiguration,
  readPushConfiguration,
} from '../../archiver/configuration.ts';

export interface ArchiverFile {
  file: string;
  hosts: HostConfiguration[];
  targets: PushTarget[];
}

/** @returns undefined where there is no such file; of what can't be read nothing */
export function readArchiverFile(): ArchiverFile | undefined {
  const file = configurationFile(undefined);
  if (!existsSync(file)) return undefined;
  return {
    file,
    hosts: attempt(() => readConfiguration(file).hosts),
    targets: attempt(() => readPushConfiguration(file, []).targets),
  };
}

function attempt<T>(read: () => T[]): T[] {
  try {
    return read();
  } catch {
    return []; // it may be meant for the other of the two
  }
}
