// Redis servers of this host, each with all its databases. Where they listen and the password of the account `default` come
// from their own configuration files; GARNER_DATABASE_URL names another server, or another account.
import { basename } from 'node:path';
import engine from '../databases/redis.ts';
import type { RedisConnection } from '../databases/toolkit/redis-client.ts';
import { paths } from '../lib/settings.ts';
import { type AgentContext, defineAgent } from './toolkit/define-agent.ts';
import { databasesOf, notLiteral, uniqueNames } from './toolkit/sources.ts';

const DEFAULT_CONFIG = '/etc/redis/redis.conf';

const SETTINGS = {
  REDIS_CONFIGS: {
    parse: paths,
    describe: `the configuration files of the servers: /etc/redis/a.conf:/etc/redis/b.conf; unset: ${DEFAULT_CONFIG}`,
  },
} as const;

const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' };

/** @returns a value as Redis reads it: plain, in '…' where only \' means another, or in "…" with escapes */
function unquote(text: string): string | undefined {
  if (text.startsWith("'")) return /^'((?:\\'|[^'])*)'$/.exec(text)?.[1]?.replaceAll("\\'", "'");
  if (!text.startsWith('"')) return /^\S+/.exec(text)?.[0];
  return /^"((?:\\.|[^"\\])*)"$/
    .exec(text)?.[1]
    ?.replace(/\\(?:x([\da-f]{2})|(.))/gi, (_, hex, one) =>
      hex === undefined ? (ESCAPES[one] ?? one) : String.fromCharCode(Number.parseInt(hex, 16)),
    );
}

/** @returns the settings that the client needs; of one that is given twice the last counts, and files that are included */
function readConfig(
  file: string,
  view: AgentContext['view'],
  found: Map<string, string> = new Map(),
  depth = 0,
): Map<string, string> {
  for (const line of view.readText(file).split(/\r?\n/)) {
    const [, name = '', value = ''] = /^\s*([\w-]+)\s+(.*?)\s*$/.exec(line) ?? [];
    const key = name.toLowerCase();
    if (!['port', 'tls-port', 'bind', 'unixsocket', 'requirepass', 'include'].includes(key)) continue;
    const plain = key === 'bind' ? value : unquote(value);
    if (plain === undefined) throw notLiteral(file, `"${key}"`);
    if (key !== 'include') found.set(key, plain);
    else if (depth > 8 || /[*?[]/.test(plain)) throw notLiteral(file, `"include ${plain}"`);
    else readConfig(plain, view, found, depth + 1);
  }
  return found;
}

/** @returns the way in that needs least: the socket, else the port, else the one with TLS */
function connectionOf(file: string, view: AgentContext['view']): RedisConnection {
  const config = readConfig(file, view);
  const password = config.get('requirepass') || undefined;
  const socket = config.get('unixsocket');
  if (socket !== undefined && view.exists(socket)) return { socket, password };
  const addresses = (config.get('bind') ?? '').split(/\s+/).map((word) => word.replace(/^-|"/g, ''));
  const host =
    addresses.find((address) => !['', '*', '0.0.0.0', '::', '::*'].includes(address)) ?? '127.0.0.1';
  const port = Number(config.get('port') ?? 6379);
  if (port > 0) return { host, port, password };
  return { host, port: Number(config.get('tls-port') ?? 6379), password, tls: {} };
}

const agent = defineAgent({
  application: 'redis',
  title: 'Redis',
  testedWith: 'the real thing: Redis of Debian',
  settings: SETTINGS,

  databaseServer: { engine: 'redis', list: 'REDIS_CONFIGS' },

  async version(context) {
    const [source] = await databasesOf(agent, context);
    return (await engine.inspect(source?.connection as RedisConnection, context.signal)).serverVersion;
  },

  databases({ settings, view }) {
    const files = settings.REDIS_CONFIGS ?? [DEFAULT_CONFIG];
    const names = uniqueNames(files.map((file) => basename(file, '.conf')));
    return files.map((file, index) => ({
      name: names[index] as string,
      engine: 'redis',
      connection: connectionOf(file, view),
    }));
  },

  trees: () => [],
});

export default agent;
