// What random tests share: a seed that is printed and can be given again, and how long they go on.

/** TEST_SEED takes the same walk again; without it every run takes its own, but in CI, which judges the change alone. */
export const SEED = Number(
  process.env.TEST_SEED ?? (process.env.CI ? 1 : Math.floor(Math.random() * 2 ** 31)),
);

/** Set by `make faults`: every step is tried where `make test` tries some. */
export const THOROUGH = process.env.TEST_THOROUGH === '1';

/** @returns the same numbers from 0 to 1 for the same seed */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
