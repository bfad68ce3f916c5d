// Plans against plain models of them: what a restore does to a bucket, and what a removal leaves of one.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ListedVersion } from '../../bucket/listing.ts';
import { openPlan, planDeletions, planVersions } from '../../bucket/plan.ts';
import { openVersionIndex, storedAsPoint } from '../../bucket/version-index.ts';
import { holds, printSeed } from '../helpers/properties.ts';

printSeed();

const KEYS = ['a', 'b', '\u{1f600}', '\uff5e', 'nul\0', 'nul'];
const key = fc.constantFrom(...KEYS);

/** What was done to a bucket, one after the other; some of it within one second. */
const events = fc.array(
  fc.record({ key, isMarker: fc.boolean(), content: fc.constantFrom('x', 'y', 'long'), second: fc.nat(1) }),
  { maxLength: 25 },
);

/** @returns all versions as a server lists them: by key, of each the newest first; ids are unique within a key only */
function listingOf(
  history: { key: string; isMarker: boolean; content: string; second: number }[],
  more = '',
): ListedVersion[] {
  let seconds = 0;
  const counts = new Map<string, number>();
  const versions = history.map(({ key, isMarker, content, second }) => {
    seconds += second;
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    const [sizeBytes, etag] = isMarker ? [0, ''] : [content.length, `etag of ${content}`];
    return {
      key,
      versionId: `${more}v${count}`,
      isMarker,
      sizeBytes,
      etag,
      modified: new Date(seconds * 1000),
      isLatest: false,
    };
  });
  return KEYS.toSorted().flatMap((key) => {
    const own = versions.filter((version) => version.key === key).reverse();
    return own.map((version, index) => ({ ...version, isLatest: index === 0 }));
  });
}

/** @returns the content of each key that could be read after so many events, or at a time */
function stateOf(listing: ListedVersion[], until = new Date(8.64e15)): Map<string, ListedVersion> {
  const state = new Map<string, ListedVersion>();
  for (const version of listing) {
    if (version.modified > until || state.has(version.key)) continue;
    state.set(version.key, version);
  }
  return new Map([...state].filter(([, { isMarker }]) => !isMarker));
}

const pairs = (state: Map<string, { sizeBytes: number; etag: string }>): string[] =>
  [...state].map(([name, { etag }]) => `${name} ${etag}`).sort();

it('F65 makes of any bucket exactly what a point names, and a second run does nothing', async () => {
  await holds(
    fc.tuple(events, events, fc.nat(6), fc.array(key), fc.boolean()),
    ([replicaEvents, masterEvents, atSecond, lost, sameBucket]) => {
      const all = listingOf(replicaEvents);
      const at = new Date(atSecond * 1000);
      const wanted = [...stateOf(all, at).values()].toReversed();
      const listed = all.filter(({ key, modified }) => !(lost.includes(key) && modified <= at));
      using replica = openVersionIndex();
      replica.add(listed);
      using other = openVersionIndex();
      const masterListing = sameBucket ? listed : listingOf(masterEvents, 'm');
      other.add(masterListing);
      const target = sameBucket ? replica : other;
      using plan = openPlan();
      const points = wanted.map(({ key, versionId, sizeBytes, modified }) => ({
        key,
        versionId,
        sizeBytes,
        modified: modified.toISOString(),
      }));
      planVersions(plan, points, replica, target);
      planDeletions(plan, target);

      const state = new Map(stateOf(masterListing).entries());
      const actions = [...plan.actions()];
      const gone = new Set<string>();
      for (const action of actions) {
        if (action.action === 'gone') gone.add(action.key);
        else if (action.action === 'delete') expect(state.delete(action.key)).toBe(true);
        else {
          const source = listed.find(
            ({ key, versionId }) => key === action.key && versionId === action.versionId,
          );
          expect(source).toBeDefined();
          expect(
            pairs(new Map([[action.key, state.get(action.key) ?? { sizeBytes: 0, etag: '' }]])),
          ).not.toEqual(pairs(new Map([[action.key, source as ListedVersion]])));
          state.set(action.key, source as ListedVersion);
        }
      }
      expect([...gone].sort()).toEqual(
        wanted
          .filter(({ key }) => lost.includes(key))
          .map(({ key }) => key)
          .sort(),
      );
      const restored = new Map([...state].filter(([name]) => !gone.has(name)));
      expect(pairs(restored)).toEqual(
        pairs(new Map(wanted.filter(({ key }) => !gone.has(key)).map((version) => [version.key, version]))),
      );
      expect(actions).toHaveLength(plan.counts.copy + plan.counts.delete + plan.counts.gone);

      using after = openVersionIndex();
      after.add([...state.values()].map((version) => ({ ...version, isLatest: true })));
      using again = openPlan();
      planVersions(
        again,
        points.filter(({ key }) => !gone.has(key)),
        replica,
        after,
      );
      expect(again.counts).toMatchObject({ copy: 0, gone: 0 });
    },
    150,
  );
});

it('F65 knows what could be read at any time, also within a second', async () => {
  await holds(
    fc.tuple(events, fc.nat(8)),
    ([history, second]) => {
      const listing = listingOf(history);
      using index = openVersionIndex();
      index.add(listing);
      const at = new Date(second * 1000);
      const expected = [...stateOf(listing, at).values()].map(({ key, versionId }) => `${key} ${versionId}`);
      expect([...index.asOf(at)].map(({ key, versionId }) => `${key} ${versionId}`).sort()).toEqual(
        expected.sort(),
      );
    },
    150,
  );
});

it('F65 takes an overwritten version without an id of its own for gone', () => {
  using source = openVersionIndex();
  const version = {
    key: 'a',
    versionId: 'null',
    isLatest: true,
    isMarker: false,
    sizeBytes: 1,
    etag: 'x',
    modified: new Date('2026-11-21T02:15:00.7Z'),
  };
  source.add([version]);
  using target = openVersionIndex();
  const verdictOf = (modified: string): object => {
    using plan = openPlan();
    planVersions(plan, [{ key: 'a', versionId: 'null', sizeBytes: 1, modified }], source, target);
    return plan.counts;
  };
  expect(verdictOf('2026-11-21T02:15:00.000Z')).toMatchObject({ copy: 1, gone: 0 });
  expect(verdictOf('2026-11-21T02:15:01.000Z')).toMatchObject({ copy: 0, gone: 1 });
});

it('F66 removes of any bucket what removed points name and no other names, but nothing that can be read', async () => {
  await holds(
    fc.tuple(events, fc.array(fc.tuple(fc.nat(10), fc.boolean()), { maxLength: 5 })),
    ([history, moments]) => {
      const listing = listingOf(history);
      const points = moments.map(([second, stays]) => ({
        stays,
        names: [...stateOf(listing, new Date(second * 1000)).values()],
      }));
      using index = openVersionIndex();
      index.add(listing);
      for (const [number, { names }] of points.entries()) {
        for (const { key, versionId } of names) {
          const found = index.find(key, versionId);
          if (found !== undefined) index.note(found, number);
        }
      }
      const gone = points.flatMap(({ stays }, number) => (stays ? [] : [number]));
      const removed = [...index.namedOnlyBy(gone)].map((version) => `${version.key} ${version.versionId}`);
      const naming = (stays: boolean): Set<string> =>
        new Set(
          points
            .filter((point) => point.stays === stays)
            .flatMap(({ names }) => names.map(({ key, versionId }) => `${key} ${versionId}`)),
        );
      const current = new Set(
        listing.filter(({ isLatest }) => isLatest).map(({ key, versionId }) => `${key} ${versionId}`),
      );
      expect(new Set(removed)).toEqual(naming(false).difference(naming(true)).difference(current));
      expect(removed).toHaveLength(new Set(removed).size);
    },
    150,
  );
});

it('tells a version as a point names it', () => {
  using index = openVersionIndex();
  const [version] = listingOf([{ key: 'nul\0', isMarker: false, content: 'long', second: 1 }]) as [
    ListedVersion,
  ];
  index.add([version]);
  expect([...index.allCurrent()].map(storedAsPoint)).toEqual([
    { key: 'nul\0', versionId: 'v1', sizeBytes: 4, modified: '1970-01-01T00:00:01.000Z' },
  ]);
});
