import type { RetryPolicy } from '@outlast/core-retry';
import type { ICustomPartitioner } from 'kafkajs';
import type { MetadataOptions } from './metadata.js';
import type { Publish } from './publish.js';
import type { WireOptions } from './wire.js';

/** Who keeps messages while brokers are away. */
export interface Keeper {
  /** No broker can be reached, and these are under way. */
  keepAll(publishes: Iterable<Publish>): void;
  /** Its time, or its patience, is over: true if it is kept, and goes on. */
  keep(publish: Publish): boolean;
}

/** Everything that a producer has settled before it opens its first connection. */
export interface EngineOptions {
  readonly wire: WireOptions;
  readonly seeds: MetadataOptions['seeds'];
  readonly policy: RetryPolicy;
  readonly partitioner: ReturnType<ICustomPartitioner>;
  readonly allowAutoTopicCreation: boolean;
  readonly metadataMaxAgeMs: number;
  readonly idempotent: boolean;
  readonly messageIds: boolean;
  readonly lingerMs: number;
  readonly maxBatchBytes: number;
  readonly maxQueueBytes: number;
  readonly overflow: 'wait' | 'reject';
  /** Bound on a publish, in milliseconds. */
  readonly totalTimeoutMs: number;
  /** How long a publish of which nothing was sent waits while no broker can be reached; Infinity for its whole time. */
  readonly patienceMs: number;
  /** One attempt and no waiting. */
  readonly once: boolean;
  readonly requestTimeoutMs: number;
  readonly keeper?: Keeper;
}
