// SQL Server's JDBC URLs: Microsoft's driver, `jdbc:sqlserver://host\instance:1433;databaseName=app;…`, and jTDS,
// `jdbc:jtds:sqlserver://host:1433/app;instance=…`.
import type { MssqlConnection } from '../../databases/toolkit/mssql-client.ts';

/** @returns properties by name in lower case; a value in braces may hold anything */
function readProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>();
  for (const [, name = '', braced, plain = ''] of text.matchAll(/([^=;]+)=(?:\{((?:[^}]|\}\})*)\}|([^;]*))/g))
    properties.set(name.trim().toLowerCase(), braced?.replaceAll('}}', '}') ?? plain.trim());
  return properties;
}

/**
 * @param kind `sqlserver` or `jtds`
 * @param rest what stands behind `jdbc:<kind>:`
 * @returns undefined for a form that isn't followed, or one that names no database
 */
export function mssqlFromJdbc(kind: string, rest: string): MssqlConnection | undefined {
  const match =
    kind === 'jtds'
      ? /^sqlserver:\/\/([^:;/]+)(?::(\d+))?(?:\/([^;]*))?;?(.*)$/is.exec(rest)
      : /^\/\/([^:;/\\]*)(?:\\([^:;]+))?(?::(\d+))?;?(.*)$/s.exec(rest);
  if (match === null) return undefined;
  const [, host = ''] = match;
  const [instance, port, path] =
    kind === 'jtds' ? [undefined, match[2], match[3]] : [match[2], match[3], undefined];
  const properties = readProperties(match[4] ?? '');
  const database = path || properties.get('databasename') || properties.get('database');
  const server = host || properties.get('servername') || properties.get('server');
  if (!database || !server) return undefined;
  const portText = port ?? properties.get('portnumber') ?? properties.get('port');
  const encrypt = properties.get('encrypt') ?? 'false';
  const trusts = properties.get('trustservercertificate') === 'true';
  return {
    host: server,
    port: portText === undefined ? undefined : Number(portText),
    instance: instance ?? properties.get('instancename') ?? properties.get('instance'),
    user: properties.get('user') ?? properties.get('username'),
    password: properties.get('password'),
    database,
    encrypt: /^(true|strict|mandatory)$/i.test(encrypt),
    // sqlcmd encrypts all the same since 18: without a check it is still no less than what the application does
    trustServerCertificate: trusts || /^(false|optional)$/i.test(properties.get('encrypt') ?? ''),
  };
}
