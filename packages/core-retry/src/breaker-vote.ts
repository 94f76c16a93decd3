import { type Failure, isProgrammersError } from './failure.js';

/** What the end of a call says of the service: it is well, it is ill, or nothing. */
export type Vote = 'success' | 'failure' | 'none';

/** A service that refuses for good reasons is well; who was cancelled, or never called it, knows nothing. */
export function voteOf(failure: Failure, error: unknown): Vote {
  switch (failure.category) {
    case 'cancelled':
      return 'none';
    case 'invalid':
      return isProgrammersError(error) || isOurs(failure) ? 'none' : 'success';
    case 'auth':
    case 'not-found':
    case 'conflict':
      return 'success';
    default:
      return isOurs(failure) ? 'none' : 'failure';
  }
}

const NEVER_CALLED: ReadonlySet<string | undefined> = new Set([
  'OUTLAST_BULKHEAD_FULL',
  'OUTLAST_CIRCUIT_OPEN',
  'OUTLAST_CLOSED',
  'OUTLAST_OPTION',
]);

function isOurs(failure: Failure): boolean {
  return NEVER_CALLED.has(failure.code);
}
