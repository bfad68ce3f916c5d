// The table of rows and the tests agree.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FAULT_ROWS, INVARIANTS } from './rows.ts';

const TESTS = join(import.meta.dirname, '..');

/** The ids at the start of titles, in the text of all tests. */
function testedIds(): Set<string> {
  const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const titles = files.flatMap((file) =>
    [...readFileSync(join(TESTS, file), 'utf8').matchAll(/['"`]((?:F\d\d )+)\S/g)].map(
      ([, ids]) => ids as string,
    ),
  );
  return new Set(titles.flatMap((ids) => ids.trim().split(' ')));
}

it('has the rows F01 to F73, each with what it checks', () => {
  expect(FAULT_ROWS.map(({ id }) => id)).toEqual(
    Array.from({ length: 73 }, (_, index) => `F${String(index + 1).padStart(2, '0')}`),
  );
  for (const { id, invariants, title, mustHold } of FAULT_ROWS) {
    expect([id, title !== '', mustHold !== '', invariants.length > 0]).toEqual([id, true, true, true]);
    expect(invariants.filter((invariant) => !(invariant in INVARIANTS))).toEqual([]);
  }
});

it('has a test for each row but those that wait for something, and no test for a row that is not there', () => {
  const tested = testedIds();
  const due = FAULT_ROWS.filter(({ waitsFor }) => waitsFor === undefined).map(({ id }) => id);
  expect(due.filter((id) => !tested.has(id))).toEqual([]);
  const known = new Set<string>(FAULT_ROWS.map(({ id }) => id));
  expect([...tested].filter((id) => !known.has(id))).toEqual([]);
});
