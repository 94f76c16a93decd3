import type { Failure } from './failure.js';

/** What to do after a failed attempt. */
export type Verdict = 'retry' | 'resolve' | 'surface';

/**
 * The one rule of the house. Retry when the failure is transient **and** (the work is known not to be
 * applied **or** running it twice is safe). Otherwise find out what became of it, if there is a way;
 * if there is none, say so.
 *
 * @param replaySafe running the operation twice is safe (a read, an idempotent write)
 * @param resolvable there is a way to find out what became of it
 */
export function decide(failure: Failure, replaySafe: boolean, resolvable: boolean): Verdict {
  if (!failure.transient) return 'surface';
  if (failure.outcome === 'not-applied' || replaySafe) return 'retry';
  return resolvable ? 'resolve' : 'surface';
}
