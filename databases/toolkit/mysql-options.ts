// MYSQLDUMP_PARAMS: what users may add to the dump client's command line, and what would make a dump less than whole.
import { parseArgsStringToArgv } from 'string-argv';
import { cannot } from '../../lib/errors.ts';

/** Options that would make a dump less than whole, or unreadable to what checks it. */
const REFUSED = [
  '--compact',
  '--result-file',
  '--password',
  '--no-data',
  '--where',
  '--ignore-table',
  '--xml',
  '--tab',
];
const REFUSED_SHORT = /^-[prdwXT]/;

/**
 * Splits MYSQLDUMP_PARAMS like a command line, without a shell.
 * @throws configuration for options that would leave something out, and for what is no option
 */
export function parseClientOptions(params: string | undefined): string[] {
  const options = parseArgsStringToArgv(params ?? '');
  for (const option of options) {
    const name = (option.split('=')[0] as string).replaceAll('_', '-');
    // clients take abbreviations: --compac, --pass
    const refused =
      name.length > 2 && REFUSED.some((full) => full.startsWith(name) || name.startsWith('--ignore-table'));
    if (refused || REFUSED_SHORT.test(option)) {
      throw cannot('configuration', 'use setting', 'MYSQLDUMP_PARAMS', `the option ${name} is refused`, {
        hint: 'a dump made with it is not whole, or could not be checked',
      });
    }
    if (!option.startsWith('-')) {
      throw cannot('configuration', 'use setting', 'MYSQLDUMP_PARAMS', `"${option}" is no option`, {
        hint: 'write values as --option=value',
      });
    }
  }
  return options;
}
