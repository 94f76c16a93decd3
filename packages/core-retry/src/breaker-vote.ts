import { isOutlastError } from './errors.js';
import { type Failure, isProgrammersError } from './failure.js';

/** What the end of a call says of the service: it is well, it is ill, or nothing. */
export type Vote = 'success' | 'failure' | 'none';

/** A service that refuses for good reasons is well; who was cancelled, or never called it, knows nothing. */
export function voteOf(failure: Failure, error: unknown): Vote {
  switch (failure.category) {
    case 'cancelled':
      return 'none';
    case 'invalid':
      return isProgrammersError(error) || isOurs(failure, error) ? 'none' : 'success';
    case 'auth':
    case 'not-found':
    case 'conflict':
      return 'success';
    default:
      return isOurs(failure, error) ? 'none' : 'failure';
  }
}

const NEVER_CALLED: ReadonlySet<string | undefined> = new Set([
  'OUTLAST_BULKHEAD_FULL',
  'OUTLAST_CIRCUIT_OPEN',
  'OUTLAST_CLOSED',
  'OUTLAST_OPTION',
]);

/** By the failure's code, or the error itself, for a classifier of the caller's may not know us. */
function isOurs(failure: Failure, error: unknown): boolean {
  if (NEVER_CALLED.has(failure.code)) return true;
  try {
    return isOutlastError(error) && NEVER_CALLED.has(error.code);
  } catch {
    // Any value can be thrown, one that cannot be looked at too.
    return false;
  }
}
