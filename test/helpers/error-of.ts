// The error of work that has to fail.
import { GarnerError } from '../../lib/errors.ts';

/** @returns the error of garner's that was thrown; anything else that is thrown goes on */
export function errorOf(work: () => unknown): GarnerError {
  try {
    work();
  } catch (error) {
    if (error instanceof GarnerError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
