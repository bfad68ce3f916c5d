// PHP that keeps what it has compiled, for all test files of a run: an application's scripts are hundreds of files each.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onceInRun } from './of-run.ts';

/** Written and read again within the second by which PHP tells files apart. */
const NOT_KEPT = ['*/LocalSettings.php', '*/wp-config.php'];

/** @returns options for `php` */
export async function compiledPhp(): Promise<string[]> {
  const directory = await onceInRun('php', async (making) => {
    mkdirSync(join(making, 'compiled'));
    writeFileSync(join(making, 'not-kept'), NOT_KEPT.map((pattern) => `${pattern}\n`).join(''));
  });
  const options = {
    enable_cli: '1',
    file_cache: join(directory, 'compiled'),
    file_cache_only: '1',
    blacklist_filename: join(directory, 'not-kept'),
  };
  return Object.entries(options).flatMap(([name, value]) => ['-d', `opcache.${name}=${value}`]);
}
