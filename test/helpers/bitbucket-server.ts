// The maintenance interface of Bitbucket and Stash as a server that behaves as Atlassian's own backup scripts and pages use
// it, and refuses what is not of that form. It keeps what it was asked.
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';

export interface BitbucketServer extends AsyncDisposable {
  readonly url: string;
  /** `METHOD /path?query`, in order; tokens by their names. */
  readonly asked: string[];
  /** The token of the lock, where it is locked. */
  readonly lockedBy: string | undefined;
  /** Locks it, as an administrator would. */
  lock(): void;
  /** As a restart does. */
  forget(): void;
}

export interface BitbucketBehaviour {
  /** What may be asked with: `Basic …` of this account, or `Bearer …`. */
  user?: string;
  password?: string;
  token?: string;
  version?: string;
  contextPath?: string;
  /** Set: it answers by HTTPS. */
  certificate?: { key: string; cert: string };
  /** How many times a drain is asked after until it is one. */
  polls?: number;
  /** What the drain ends with in place of DRAINED: the task's state. */
  drainFails?: string;
  /** Answers of its own: a status, a page, no answer. */
  instead?(asked: string, response: ServerResponse): boolean;
  /** Called as it has come to rest, and as it goes on. */
  onDrained?(): Promise<void>;
  onUnlocked?(): Promise<void>;
}

interface State {
  lock: string | undefined;
  backup: boolean;
  polls: number;
}

export async function startBitbucket(behaviour: BitbucketBehaviour = {}): Promise<BitbucketServer> {
  const { user = 'backup', password = 'secret', token, version = '8.19.1', contextPath = '' } = behaviour;
  const state: State = { lock: undefined, backup: false, polls: 0 };
  const asked: string[] = [];
  const newToken = (): string => randomBytes(20).toString('hex');
  const authorization =
    token === undefined
      ? `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
      : `Bearer ${token}`;

  const routes: Record<
    string,
    (request: IncomingMessage, query: URLSearchParams) => Promise<[number, object]>
  > = {
    'GET /rest/api/1.0/application-properties': async () => [
      200,
      { version, buildNumber: '8019001', displayName: 'Bitbucket' },
    ],
    'POST /mvc/maintenance/lock': async () => {
      if (state.lock !== undefined) return [409, { errors: [{ message: 'The system is already locked' }] }];
      state.lock = newToken();
      return [202, { unlockToken: state.lock, owner: { name: user } }];
    },
    'GET /mvc/maintenance/lock': async () =>
      state.lock === undefined ? [404, {}] : [200, { owner: { name: user } }],
    'POST /mvc/admin/backups': async (request, query) => {
      if (query.get('external') !== 'true') return [400, {}];
      if (state.lock === undefined || request.headers['x-atlassian-maintenance-token'] !== state.lock)
        return [409, {}];
      Object.assign(state, { backup: true, polls: 0 });
      return [202, { id: newToken(), cancelToken: newToken() }];
    },
    'GET /mvc/maintenance': async (request) => {
      if (!state.backup) return [404, {}];
      if (request.headers['x-atlassian-maintenance-token'] !== state.lock) return [401, {}];
      state.polls += 1;
      const isDrained = state.polls > (behaviour.polls ?? 1);
      if (isDrained) await behaviour.onDrained?.();
      const one = isDrained ? 'DRAINED' : 'DRAINING';
      const task = {
        id: 1,
        type: 'BACKUP',
        state: (isDrained && behaviour.drainFails) || 'RUNNING',
        progress: { percentage: 0 },
      };
      // the one before the other, as it comes
      return [
        200,
        { task, 'db-state': one, 'scm-state': !isDrained && state.polls === 1 ? 'AVAILABLE' : one },
      ];
    },
    'POST /mvc/admin/backups/progress/client': async (_, query) => {
      if (state.lock === undefined || query.get('token') !== state.lock) return [409, {}];
      if (query.get('percentage') === '100') state.backup = false;
      return [202, {}];
    },
    'DELETE /mvc/maintenance/lock': async (_, query) => {
      if (state.lock === undefined) return [404, {}];
      if (query.get('token') !== state.lock)
        return [409, { errors: [{ message: "The token is not the lock's" }] }];
      Object.assign(state, { lock: undefined, backup: false });
      await behaviour.onUnlocked?.();
      return [202, {}];
    },
  };

  const listener = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, search, searchParams } = new URL(request.url ?? '', 'http://x');
    const path = pathname.startsWith(`${contextPath}/`) ? pathname.slice(contextPath.length) : '/elsewhere';
    const named = search.replace(
      /token=[0-9a-f]{40}/,
      state.lock !== undefined && search.includes(state.lock) ? 'token=UNLOCK' : 'token=OTHER',
    );
    asked.push(`${request.method} ${path}${named}`);
    if (behaviour.instead?.(asked.at(-1) as string, response)) return;
    const answer = (status: number, body: object): void => {
      response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(status === 404 ? '<html>' : JSON.stringify(body));
    };
    const route = routes[`${request.method} ${path}`];
    if (path.startsWith('/mvc/') && request.headers.authorization !== authorization)
      answer(401, { errors: [{ message: 'Authentication failed' }] });
    else if (request.method === 'POST' && request.headers['content-type'] !== 'application/json')
      answer(415, {});
    else if (route === undefined) answer(404, {});
    else answer(...(await route(request, searchParams)));
  };
  const { certificate } = behaviour;
  const server = certificate ? createSecureServer(certificate, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `${certificate ? 'https' : 'http'}://127.0.0.1:${port}${contextPath}`,
    asked,
    get lockedBy() {
      return state.lock;
    },
    lock() {
      state.lock = newToken();
    },
    forget() {
      Object.assign(state, { lock: undefined, backup: false });
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
