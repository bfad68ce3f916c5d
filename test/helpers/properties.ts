// What the property tests of readers share: a reader of foreign bytes gives a result or one error that a person can read.
import fc from 'fast-check';
import { afterAll } from 'vitest';
import { type ErrorCode, GarnerError } from '../../lib/errors.ts';
import { SEED, THOROUGH } from './random.ts';

/** No message is longer, whatever was read. */
const MAX_MESSAGE_CHARS = 5000;
/** A smallest input may still be an archive. */
const MAX_SHOWN_CHARS = 2000;
/** Thousands of small files. */
export const SCRATCH = '/dev/shm';
/** How much longer `make faults` goes on. */
const THOROUGH_FACTOR = 20;

/**
 * Tries a property with random input; a failure shows the seed (TEST_SEED repeats it) and the smallest input.
 * @param runs in `make test`
 */
export async function holds<T>(
  input: fc.Arbitrary<T>,
  property: (value: T) => unknown,
  runs: number,
): Promise<void> {
  const tried = fc.asyncProperty(input, async (value) => {
    await property(value);
  });
  const result = await fc.check(tried, { seed: SEED, numRuns: THOROUGH ? runs * THOROUGH_FACTOR : runs });
  if (!result.failed) return;
  const { seed, numRuns, counterexamplePath, counterexample, errorInstance: cause } = result;
  const shown = fc.stringify(counterexample?.[0]).slice(0, MAX_SHOWN_CHARS);
  throw new Error(`seed ${seed}, path ${counterexamplePath}, after ${numRuns} runs: ${shown}`, { cause });
}

/**
 * Runs a reader.
 * @param codes of the errors that it may throw
 * @returns its result; undefined where it refused
 * @throws where it failed in any other way: that is a defect
 */
export async function readOrRefuse<T>(
  codes: readonly ErrorCode[],
  read: () => T,
): Promise<Awaited<T> | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof GarnerError)) throw new Error('it broke', { cause: error });
    if (!codes.includes(error.code)) throw new Error(`it says ${error.code}`, { cause: error });
    const odd = /[\0-\x1f\x7f]/.test(error.message) || error.message.length > MAX_MESSAGE_CHARS;
    if (odd) throw new Error(`its message has ${error.message.length} characters`, { cause: error });
    return undefined;
  }
}

/** Numbers that readers stumble over. */
export const oddNumber: fc.Arbitrary<number> = fc.constantFrom(
  ...[0, -0, -1, 0.5, 1e21, 1e308, Number.NaN, Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER],
  ...[Number.MAX_SAFE_INTEGER + 1, Number.MIN_SAFE_INTEGER, 2 ** 31, 2 ** 32, 8 * 2 ** 30, 511, 512, 513],
);

/** Texts that readers stumble over: names of properties that all objects have, paths outward, broken Unicode, length. */
export const oddText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    ...[
      '',
      '.',
      '..',
      '../../x',
      '/etc/passwd',
      'a/b',
      '-rf',
      'a\0b',
      'a\nb',
      '\u001b[2J',
      '\u202egnp.exe',
      ' ',
    ],
    ...[
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
      '\ud800',
      '\udc00x',
      '\ufeff',
      '\ufffd',
      'é',
    ],
    ...['NaN', '1e999', '0x10', '-0', 'true', 'null', '2026-02-30T00:00:00Z', 'x'.repeat(5000)],
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
);

export const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  oddNumber,
  oddText,
  fc.constantFrom(null, true, [], {}, [[[[]]]], [null]),
  fc.dictionary(oddText, oddNumber, { maxKeys: 3 }),
);

/** Says the seed at the end of a file of tests. */
export function printSeed(): void {
  afterAll(() => console.log(`seed ${SEED}`));
}
