// The databases of a MediaWiki, as its LocalSettings.php names them.
import { dirname, join } from 'node:path';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { cannot } from '../../lib/errors.ts';
import type { HostView } from './host-view.ts';
import type { PhpSettings } from './php.ts';
import { memberName, notLiteral, parseServer } from './sources.ts';

/**
 * @param file LocalSettings.php, whose variables `php` are
 * @param wiki MediaWiki's directory
 * @throws application-configuration where the database is not written literally, or of a kind that garner can't dump
 */
export function wikiDatabases(
  php: PhpSettings,
  file: string,
  wiki: string,
  view: HostView,
): DatabaseSource[] {
  if (php.value('wgDBservers') !== undefined) throw notLiteral(file, '$wgDBservers');
  const type = php.literal('wgDBtype') ?? 'mysql';
  if (type === 'mysql') return [mysqlSource(php, file, (prefix) => expectedTables(wiki, view, prefix))];
  if (type === 'postgres') return [postgresSource(php, file)];
  if (type === 'sqlite') return sqliteSources(php, wiki, view);
  const cause = `its database type "${type}" is not supported`;
  throw cannot('application-configuration', 'back up', file, cause);
}

/** The tables of the installed MediaWiki, from the file that it creates them by. */
function expectedTables(directory: string, view: HostView, prefix: string): string[] {
  const file = join(directory, 'maintenance/tables-generated.sql');
  if (!view.exists(file)) return [];
  return [...view.readText(file).matchAll(/^CREATE TABLE \/\*_\*\/(\w+)/gm)].map(
    ([, name]) => `${prefix}${name}`,
  );
}

/** What both database servers need. */
function accountOf(php: PhpSettings, file: string) {
  // what isn't set here is set in a file that this one includes
  const unset = ['wgDBname', 'wgDBuser', 'wgDBpassword'].find((name) => php.value(name) === undefined);
  if (unset !== undefined) throw notLiteral(file, `$${unset}`);
  return {
    user: php.literal('wgDBuser'),
    password: php.literal('wgDBpassword'),
    database: php.literal('wgDBname') ?? 'my_wiki',
  };
}

function portOf(php: PhpSettings, file: string): number | undefined {
  const port = php.literal('wgDBport');
  if (port !== undefined && !/^\d{1,5}$/.test(port)) throw notLiteral(file, 'a port number');
  return port === undefined ? undefined : Number(port);
}

function mysqlSource(php: PhpSettings, file: string, tables: (prefix: string) => string[]): DatabaseSource {
  const account = accountOf(php, file);
  const server = parseServer(php.literal('wgDBserver') ?? 'localhost');
  if (server === undefined) throw notLiteral(file, 'a port number');
  const port = portOf(php, file) ?? server.port;
  const prefix = php.literal('wgDBprefix') ?? '';
  return {
    name: memberName(account.database),
    engine: 'mysql',
    connection: { ...server, port, ...account },
    expectedTables: tables(prefix),
    withoutRoutines: true,
    // a MyISAM table that maintenance/rebuildtextindex.php makes anew from the pages
    derivedTables: [`${prefix}searchindex`],
  };
}

function postgresSource(php: PhpSettings, file: string): DatabaseSource {
  const account = accountOf(php, file);
  const connection = {
    ...account,
    host: php.literal('wgDBserver') ?? 'localhost',
    port: portOf(php, file) ?? 5432,
    sslmode: php.literal('wgDBssl') === 'true' ? 'require' : undefined,
  };
  return { name: memberName(account.database), engine: 'postgres', connection };
}

function sqliteSources(php: PhpSettings, wiki: string, view: HostView): DatabaseSource[] {
  const directory = php.literal('wgSQLiteDataDir') ?? join(dirname(wiki), 'data');
  const name = php.literal('wgDBname') ?? 'my_wiki';
  // the job queue has a file of its own; the caches beside it (`_l10n_cache`, `wikicache`) are made anew
  const queue = `${name}_jobqueue`;
  const file = (database: string): string => join(directory, `${database}.sqlite`);
  return [
    { name: memberName(name), engine: 'sqlite', connection: { file: file(name) } },
    {
      name: memberName(queue),
      engine: 'sqlite',
      connection: { file: file(queue) },
      absent: !view.exists(file(queue)),
    },
  ];
}
