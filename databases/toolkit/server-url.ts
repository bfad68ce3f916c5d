// What the URL of a database on a server says, whatever the server.
import { cannot } from '../../lib/errors.ts';

export interface ServerUrl {
  host: string | undefined;
  port: number | undefined;
  user: string | undefined;
  password: string | undefined;
  database: string;
}

/**
 * @param scheme names the URL in the message: it may hold a password
 * @throws configuration where it names no database
 */
export function readServerUrl(url: URL, scheme: string): ServerUrl {
  const database = decodeURIComponent(url.pathname.slice(1));
  if (database === '') throw cannot('configuration', 'use database URL', scheme, 'it names no database');
  const decoded = (part: string): string | undefined => decodeURIComponent(part) || undefined;
  return {
    host: decoded(url.hostname.replace(/^\[(.*)\]$/, '$1')),
    port: url.port === '' ? undefined : Number(url.port),
    user: decoded(url.username),
    password: decoded(url.password),
    database,
  };
}
