import type { Drill, Outcome, Run } from '../drill.js';
import type { LaneResult, Verdict } from '../verdict.js';

/** Everything that a report tells. */
export interface Report {
  readonly drill: Drill;
  readonly run: Run;
  readonly outcome: Outcome;
  readonly results: readonly LaneResult[];
  readonly verdict: Verdict;
  /** What to type to run it again. */
  readonly command: string;
  /** When it was made, ISO 8601. */
  readonly at: string;
  /** How long this process itself stood still at most, ms. */
  readonly eventLoopMaxMs: number;
}
