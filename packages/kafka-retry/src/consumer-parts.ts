import type { Clock } from '@outlast/core-retry';
import type { Destinations } from './destinations.js';
import type { Rest } from './each-batch.js';
import type { Failing } from './failing.js';
import type { Fate } from './fate.js';
import type { Guards } from './guards.js';
import type { Pauses } from './pauses.js';
import type { Waiting } from './waiting.js';

/** What a consumer is made of, for those who hand out its messages. */
export interface ConsumerParts {
  readonly clock: Clock;
  readonly destinations: Destinations;
  readonly failing: Failing;
  readonly fate: Fate;
  readonly guards: Guards;
  readonly pauses: Pauses;
  readonly waiting: Waiting;
  /** Of batches that have failed in part, by partition. */
  readonly rests: Map<string, Rest>;
  readonly heartbeatIntervalMs: number;
  readonly maxAttempts: number;
  readonly isStopped: () => boolean;
}
