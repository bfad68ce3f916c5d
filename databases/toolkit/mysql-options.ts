// What users may add to the dump client's command line by MYSQLDUMP_PARAMS and by option files, and what would make a dump
// less than whole.
import { parseArgsStringToArgv } from 'string-argv';
import { cannot } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';

/** Options that would make a dump less than whole, or unreadable to what checks it. */
const REFUSED = [
  // leave something out, or let errors pass
  ...[
    '--no-data',
    '--where',
    '--ignore-table',
    '--ignore-table-data',
    '--ignore-database',
    '--no-create-info',
  ],
  ...['--skip-triggers', '--skip-routines', '--skip-events', '--force', '--as-of', '--skip-create-options'],
  ...['--ignore-error', '--ignore-views', '--skip-hex-blob', '--no-set-names', '--skip-set-charset'],
  ...['--skip-single-transaction', '--skip-dump-history', '--system', '--compatible'],
  // no dump of this one database on stdout, or none that can be checked
  ...[
    '--compact',
    '--skip-comments',
    '--result-file',
    '--xml',
    '--tab',
    '--dir',
    '--databases',
    '--all-databases',
  ],
  ...['--tables', '--skip-quote-names', '--delayed-insert', '--print-defaults', '--help', '--version'],
  // do something to the server, or need more than a reader's rights to be restored
  ...[
    '--flush-logs',
    '--delete-master-logs',
    '--delete-source-logs',
    '--add-drop-database',
    '--apply-slave-statements',
  ],
  // memory; secrets where others see them
  ...['--skip-quick', '--password'],
];
/** It is in the default of the scripts that this setting comes from; names are quoted all the same, a dump is read by them. */
const PASSED_OVER = '--skip-quote-names';
/** Those refused as single letters, which may stand together: `-qd`. */
const REFUSED_SHORT = /^-[^-]*?[prdwXTtfFBANVI?]/;
/** Statements for a replica that a restore would run; with `=2` they are comments. */
const REPLICATION = /^--(master-data|source-data|dump-slave|dump-replica)(=1)?$/;

/** @returns an option's name as `REFUSED` has it: clients also take `--NO_DATA`, `--loose-no-data`, `--disable-comments` */
const plainName = (option: string): string =>
  (option.split('=')[0] as string)
    .toLowerCase()
    .replaceAll('_', '-')
    .replace(/^--(?:(?:loose|enable|autoset|maximum)-)+/, '--')
    .replace(/^--disable-/, '--skip-');

/** What an option file may say that neither garner's own options undo nor the checks of a dump find. */
const HARMFUL_IN_FILES = [
  ...['--where', '--no-data', '--no-create-info', '--ignore-table-data', '--as-of', '--init-command'],
  // statements that a restore would run: on another database than it is meant for, or on the server
  ...['--databases', '--all-databases', '--system', '--apply-slave-statements', '--apply-replica-statements'],
  ...['--master-data', '--source-data', '--dump-slave', '--dump-replica'],
];

/**
 * @param defaults what the client's --print-defaults says: the options of `~/.my.cnf` and its like
 * @returns the names of those that would make a dump less than whole
 */
export function harmfulDefaults(defaults: string): string[] {
  return defaults.split(/\s+/).flatMap((option) => {
    const [written = '', value = ''] = option.split('=');
    const name = written.replaceAll('_', '-').replace(/^--loose-/, '--');
    const isOff = /^(0|off|false)$/i.test(value);
    return !isOff && name.length > 2 && HARMFUL_IN_FILES.some((full) => full.startsWith(name)) ? [name] : [];
  });
}

/**
 * Splits MYSQLDUMP_PARAMS like a command line, without a shell. What is passed over is a line of the log.
 * @throws configuration for options that would leave something out, and for what is no option
 */
export function parseClientOptions(params: string | undefined): string[] {
  const given = parseArgsStringToArgv(params ?? '');
  const options = given.filter((option) => option !== PASSED_OVER);
  if (options.length < given.length)
    info(`MYSQLDUMP_PARAMS: ${PASSED_OVER} is passed over: names are quoted`);
  for (const option of options) {
    const name = plainName(option);
    // clients take abbreviations: --compac, --pass
    const refused = name.length > 2 && REFUSED.some((full) => full.startsWith(name));
    const short = REFUSED_SHORT.exec(option)?.[0]; // without its value: -p has a password
    if (refused || short !== undefined || REPLICATION.test(option.replace(/^[^=]*/, name))) {
      throw cannot(
        'configuration',
        'use setting',
        'MYSQLDUMP_PARAMS',
        `the option ${short ?? name} is refused`,
        {
          hint: 'a dump made with it is not whole, or could not be checked',
        },
      );
    }
    if (!option.startsWith('-')) {
      throw cannot('configuration', 'use setting', 'MYSQLDUMP_PARAMS', `"${option}" is no option`, {
        hint: 'write values as --option=value',
      });
    }
  }
  return options;
}
