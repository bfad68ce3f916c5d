// The maintenance lock of Bitbucket and Stash: nobody pushes, and no row is written, from before the dump until the last file
// is read. So database and repositories are of one moment, which a copy of a running one is not.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { cannot } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { registerSecret } from '../../lib/redact.ts';
import type { SettingTable } from '../../lib/settings.ts';
import { type RestAccess, refusal, request } from './bitbucket-rest.ts';
import type { AgentContext, Quiet, Withheld } from './define-agent.ts';

const LOCK = '/mvc/maintenance/lock';
const POLL_MS = 500;
/** Bitbucket itself gives up earlier, unless it is told to be patient. */
const DRAIN_LIMIT_MS = 15 * 60_000;

/** What an archive lacks that was made without the lock: no warning of every night, for nobody may want to lock. */
export const UNLOCKED: Withheld = {
  what: 'a moment that database and repositories have in common, for it was not locked',
  remedy:
    'set its address and an account, and it is locked meanwhile; after a restore compare pull requests with their branches',
};

const tokenSchema = z.strictObject({
  /** `asked`: whether it is locked, and by which token, is not known. */
  state: z.enum(['none', 'asked', 'locked', 'drained']),
  unlockToken: z.string().optional(),
});
type LockToken = z.infer<typeof tokenSchema>;

const isSuccess = (status: number): boolean => status >= 200 && status < 300;

/** @param accessOf tells where it answers; undefined: it is copied without the lock */
export function maintenanceLock<S extends SettingTable>(
  accessOf: (context: AgentContext<S>) => RestAccess | undefined,
): Quiet<S> {
  return {
    async begin(context, remember) {
      const access = accessOf(context);
      if (access !== undefined) await lock(access, context.signal, remember);
    },
    async end(context, token) {
      const lock = tokenSchema.parse(token);
      if (lock.state === 'none') return;
      const access = accessOf(context);
      if (access === undefined) throw new Error('no setting tells any more where it answers');
      await unlock(access, context.signal, lock);
    },
  };
}

/** @throws application-request where it can't be locked, or doesn't come to rest */
async function lock(
  access: RestAccess,
  signal: AbortSignal,
  remember: (token: LockToken) => void,
): Promise<void> {
  signal.throwIfAborted();
  remember({ state: 'asked' });
  // not ended with the run: it would be locked, and nobody had the token
  const locked = await request(access, 'POST', LOCK, new AbortController().signal);
  const { unlockToken } = locked.body;
  if (!isSuccess(locked.status) || typeof unlockToken !== 'string') {
    if (!isSuccess(locked.status)) remember({ state: 'none' });
    throw refusal(access, 'lock', locked);
  }
  registerSecret(unlockToken);
  remember({ state: 'locked', unlockToken });
  signal.throwIfAborted();
  const headers = { 'x-atlassian-maintenance-token': unlockToken };
  const begun = await request(access, 'POST', '/mvc/admin/backups?external=true', signal, headers);
  if (!isSuccess(begun.status) || typeof begun.body.cancelToken !== 'string') {
    throw refusal(access, 'begin a backup of', begun);
  }
  await drained(access, signal, headers);
  remember({ state: 'drained', unlockToken });
}

/** Waits until no request and no git process is at work. */
async function drained(
  access: RestAccess,
  signal: AbortSignal,
  headers: Record<string, string>,
): Promise<void> {
  const deadline = performance.now() + DRAIN_LIMIT_MS;
  for (;;) {
    const answer = await request(access, 'GET', '/mvc/maintenance', signal, headers);
    if (!isSuccess(answer.status)) throw refusal(access, 'wait for', answer);
    const { task, 'db-state': database, 'scm-state': repositories } = answer.body;
    const state = (task as { state?: unknown } | undefined)?.state;
    if (state !== 'RUNNING') {
      const cause = `what is at work there does not come to rest (its backup is ${state ?? 'gone'})`;
      throw cannot('application-request', 'back up', access.url, cause);
    }
    if (database === 'DRAINED' && repositories === 'DRAINED') return;
    if (performance.now() > deadline) {
      const cause = `database ${database}, repositories ${repositories}, for longer than a quarter of an hour`;
      throw cannot('application-request', 'wait for', access.url, cause);
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** @throws application-request where the lock may still be there */
async function unlock(
  access: RestAccess,
  signal: AbortSignal,
  { state, unlockToken }: LockToken,
): Promise<void> {
  if (unlockToken === undefined) {
    // the answer with the token never came
    const { status } = await request(access, 'GET', LOCK, signal);
    if (status === 404) return;
    const hint = 'look at it in the browser; a restart of it unlocks it';
    throw cannot(
      'application-request',
      'unlock',
      access.url,
      `it may be locked, and its token is not known; ${hint}`,
    );
  }
  const token = encodeURIComponent(unlockToken);
  if (state === 'drained') {
    // it shows its users how far the backup is; at 100 % it ends it
    const progress = `/mvc/admin/backups/progress/client?token=${token}&percentage=100`;
    await request(access, 'POST', progress, signal).catch(() => {}); // the lock is what matters
  }
  const unlocked = await request(access, 'DELETE', `${LOCK}?token=${token}`, signal);
  if (unlocked.status === 404 || unlocked.status === 409) {
    info(`${access.url} is no longer locked by this backup`);
  } else if (!isSuccess(unlocked.status)) throw refusal(access, 'unlock', unlocked);
}
