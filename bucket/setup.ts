// What every verb reads first: settings and configuration. No bucket is used here.
import type { CommandContext } from '../lib/command-line.ts';
import { setLogFormat } from '../lib/log.ts';
import { CORE_SETTINGS, loadSettings, type SettingValues } from '../lib/settings.ts';
import {
  type BucketConfiguration,
  bucketConfigurationFile,
  readBucketConfiguration,
} from './configuration.ts';

/** Options that every verb has. */
export interface CommonOptions {
  config?: string;
  json?: boolean;
}

export interface Setup {
  configuration: BucketConfiguration;
  settings: SettingValues<typeof CORE_SETTINGS>;
}

/** Reads settings and configuration; touches nothing. */
export function setUp(context: CommandContext, options: CommonOptions): Setup {
  const settings = loadSettings(CORE_SETTINGS, { known: context.known });
  setLogFormat(settings.GARNER_LOG);
  return { settings, configuration: readBucketConfiguration(bucketConfigurationFile(options.config)) };
}
