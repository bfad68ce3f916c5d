// What a scrub reads at further places: the copies there, by their checksum files and by what the catalog knows of the archive.
// A bad one stays where it is, counts for nothing in what is pruned there, and is told until somebody has removed it.
import { readSidecars } from '../archive/sidecars.ts';
import { verifyDigests } from '../archive/transfer.ts';
import { asGarnerError, cannot } from '../lib/errors.ts';
import type { Store } from '../stores/store.ts';
import { startPace } from './bandwidth.ts';
import { type PushTarget, readPlaces } from './configuration.ts';
import { archivePath } from './layout.ts';
import { checkTarget, listTarget, openTarget, vanished } from './push-target.ts';
import { type Run, tellFailure } from './run.ts';
import type { Due, VerifyReport } from './verify.ts';

/**
 * Looks at what lies at all further places of the configuration; one that can't be reached is a failure.
 * @param opened gets the places that are open
 */
export async function duePlaces(
  run: Run,
  opened: AsyncDisposableStack,
  bytesPerSecond: number | undefined,
): Promise<{ due: Due[]; failed: VerifyReport['failed'] }> {
  const { targets, bandwidth } = readPlaces(run.configuration.file);
  const due: Due[] = [];
  const failed: VerifyReport['failed'] = [];
  for (const target of targets) {
    try {
      const to = opened.use(await openTarget(target, bandwidth, run.signal));
      const place = await duePlace(run, target, to, bytesPerSecond);
      due.push(...place.due);
      for (const name of place.gone) failed.push({ name, ...tellFailure(target.name, vanished(to, name)) });
    } catch (error) {
      run.signal.throwIfAborted();
      failed.push({ name: target.name, ...tellFailure(target.name, error) });
    }
  }
  return { due, failed };
}

/**
 * Looks at what lies at a place.
 * @param to the place, open as long as something of it is read
 * @returns what there is to read, when each was read last; what was good there and is gone, which is told once
 * @throws archive-store where it is none, or not mounted; what the store throws
 */
async function duePlace(
  run: Run,
  target: PushTarget,
  to: Store,
  bytesPerSecond: number | undefined,
): Promise<{ due: Due[]; gone: string[] }> {
  const { catalog, signal } = run;
  await checkTarget(to, target, { init: false, dryRun: true });
  const known = await catalog.copies(target.name);
  const rows = new Map((await catalog.list(['present', 'removed'])).map((row) => [row.name, row]));
  const paths = [...rows.values()].map(({ name, host, application, instance }) =>
    archivePath({ host, application, instance: instance || undefined }, name),
  );
  const there = await listTarget(to, paths);
  // a push beside this may have pruned meanwhile, and forgotten
  const still = await catalog.copies(target.name);
  const missing = [...known.values()].filter(({ name }) => !there.has(name) && still.has(name));
  for (const { name } of missing) await catalog.forgetCopy(target.name, name);
  const gone = missing.filter(({ name, problem }) => problem === null && rows.has(name));
  const limit = bytesPerSecond === undefined ? undefined : { limit: bytesPerSecond, hours: [] };
  const pace = startPace(limit, signal);
  const due = [...there].map(
    ([name, { path, entry }]): Due => ({
      name,
      subject: target.name,
      readAt: known.get(name)?.read_at ?? null,
      sizeBytes: entry.sizeBytes,
      async verify() {
        const at = new Date().toISOString();
        const note = (problem: string | null): Promise<void> =>
          catalog.noteCopy({ target: target.name, name, size_bytes: entry.sizeBytes, read_at: at, problem });
        try {
          const { sha256 } = await readSidecars(to, path);
          const expected = rows.get(name)?.sha256;
          if (expected !== sha256)
            throw cannot(
              'checksum-mismatch',
              'verify',
              `${to.url}/${path}`,
              `it is not the archive that is known here`,
            );
          await verifyDigests(to, path, signal, pace);
        } catch (error) {
          signal.throwIfAborted();
          const { code } = asGarnerError(error);
          // a line that breaks says nothing of the copy
          if (code !== 'store-connect' && code !== 'timeout') await note(code);
          throw error;
        }
        await note(null);
        return 'digest';
      },
    }),
  );
  return { due, gone: gone.map(({ name }) => name) };
}
