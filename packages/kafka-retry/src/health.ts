import { RetryPolicy, retryInfo } from '@outlast/core-retry';
import { classifyKafka } from './classify.js';
import type { Engine } from './engine.js';

/** What a health page shows. */
export interface Health {
  readonly ok: boolean;
  /** How long the check took, in milliseconds. */
  readonly ms: number;
  readonly attempts: number;
  /** kafkajs' error, if it failed. */
  readonly error?: unknown;
  readonly details: {
    readonly brokers: readonly {
      readonly nodeId: number;
      readonly host: string;
      readonly port: number;
    }[];
    /** The node id of the controller; -1 if there is none. */
    readonly controller: number;
    readonly clusterId?: string;
    /** Messages that the group has yet to read, if it was asked for. */
    readonly lag?: number;
    /** Publishes that are under way. */
    readonly pending: number;
    /** Bytes of messages that are under way. */
    readonly queuedBytes: number;
  };
}

const ATTEMPT_TIMEOUT_MS = 5000;

/**
 * Three attempts, 0.5 s to 5 s between them, without patience. Never rejects.
 *
 * @param ownEngine whether the engine was made for the check and ends with it
 * @param lagOf asks for what a group has yet to read
 */
export async function checkHealth(
  policy: RetryPolicy,
  engine: Engine,
  ownEngine: boolean,
  lagOf?: () => Promise<number>,
): Promise<Health> {
  const { clock, random } = policy.settings;
  const own = new RetryPolicy({
    maxAttempts: 3,
    baseDelayMs: 500,
    maxDelayMs: 5000,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    operation: 'kafka.healthCheck',
    // Reading changes nothing.
    idempotent: true,
    classify: classifyKafka,
    clock,
    random,
  });
  const start = clock.now();
  const details = (): Health['details'] => {
    const { clusterId, brokers, controllerId } = engine.metadata;
    return {
      brokers,
      controller: controllerId,
      ...(clusterId !== undefined && { clusterId }),
      ...(lag !== undefined && { lag }),
      pending: engine.ledger.size,
      queuedBytes: engine.ledger.bytes,
    };
  };
  let attempts = 0;
  let lag: number | undefined;
  try {
    await own.execute(async (attempt) => {
      attempts = attempt.number;
      await engine.metadata.refresh();
      lag = await lagOf?.();
    });
    return { ok: true, ms: clock.now() - start, attempts, details: details() };
  } catch (error) {
    attempts = retryInfo(error)?.attempts ?? attempts;
    return { ok: false, ms: clock.now() - start, attempts, error, details: details() };
  } finally {
    if (ownEngine) engine.close();
  }
}
