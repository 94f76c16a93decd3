import type { RetryPolicy } from '@outlast/core-retry';
import type {
  Consumer,
  ConsumerConfig,
  ConsumerRunConfig,
  EachBatchPayload,
  EachMessagePayload,
} from 'kafkajs';
import type { DeadLetterOptions, DeadLetters, Failed } from './dead-letters.js';
import { misuse } from './errors.js';
import { Failing } from './failing.js';
import type { KafkaRetryOptions } from './options.js';
import { Pauses } from './pauses.js';

/** Everything that `kafka.consumer()` of kafkajs takes, and ours. */
export interface RetryConsumerConfig extends Omit<ConsumerConfig, 'retry'> {
  /**
   * The delays between the attempts of a handler: `baseDelayMs`, `maxDelayMs`, `backoffFactor`, `jitter`. Attempts end,
   * at `maxAttempts`, only with a `deadLetter`.
   */
  readonly retry?: KafkaRetryOptions & ConsumerConfig['retry'];
  /** Where a message goes that `eachMessage` has failed at `maxAttempts` (3) times. Default: none; it is tried for ever. */
  readonly deadLetter?: DeadLetterOptions;
}

/** What a handler gets, beside kafkajs' own. */
export interface HandlerExtras {
  /** Aborts when the group is rebalanced under the handler, and when the consumer is stopped. */
  readonly signal: AbortSignal;
  /** How often this message, or a batch that begins with it, has been handed out here: from 1. A hint: another member counts anew. */
  readonly attempt: number;
}

/** kafkajs' `run`, with handlers that are told more. */
export interface RetryRunConfig extends Omit<ConsumerRunConfig, 'eachMessage' | 'eachBatch'> {
  readonly eachMessage?: (payload: EachMessagePayload & HandlerExtras) => Promise<void>;
  readonly eachBatch?: (payload: EachBatchPayload & HandlerExtras) => Promise<void>;
}

/** kafkajs' consumer, whose handlers may fail. */
export interface RetryConsumer extends Omit<Consumer, 'run'> {
  run(config?: RetryRunConfig): Promise<void>;
  readonly policy: RetryPolicy;
}

/** kafkajs' defaults of 30 s and 5 s mean that it resumes as late after an outage, and after a pause. */
export const CONSUMER_DEFAULTS = { sessionTimeout: 10_000, maxWaitTimeInMs: 500 };

const HEARTBEAT_INTERVAL_MS = 3000;

/**
 * A consumer whose handlers' errors never reach kafkajs, where the sixth of them ends it and a TypeError ends it for
 * good. A message that fails is handed out again, after a delay, for ever; its partition waits for it, the
 * others do not, and the group hears of this member all the while.
 */
export function createConsumer(
  driver: Consumer,
  policy: RetryPolicy,
  heartbeatIntervalMs: number = HEARTBEAT_INTERVAL_MS,
  deadLetters?: DeadLetters,
): RetryConsumer {
  const pauses = new Pauses(driver, policy.settings.clock);
  const failing = new Failing(policy);
  const handlers = new Set<AbortController>();
  let stopped = false;

  /** What every batch has: heartbeats while it is handled, and a signal. */
  const guarded = async (
    payload: EachBatchPayload,
    work: (guard: Guard) => Promise<void>,
  ): Promise<void> => {
    const controller = new AbortController();
    const guard: Guard = { signal: controller.signal, lost: undefined, heartbeat: () => beat() };
    const beat = async (): Promise<void> => {
      try {
        await payload.heartbeat();
      } catch (error) {
        guard.lost = { error };
        controller.abort(error);
        throw error;
      }
    };
    // kafkajs lets one through an interval; asked as often as that, it would miss every other one.
    const timer = setInterval(() => void beat().catch(() => {}), heartbeatIntervalMs / 3);
    handlers.add(controller);
    try {
      await work(guard);
    } finally {
      clearInterval(timer);
      handlers.delete(controller);
    }
    // Not a handler's error: kafkajs must know of it to join the group again.
    if (guard.lost !== undefined) throw guard.lost.error;
  };

  /** The failed message is the next to be fetched, when its partition is resumed. */
  const failed = (payload: EachBatchPayload, offset: string, error: unknown): void => {
    // Whoever takes the partition next begins there; a timer would only keep the process alive.
    if (stopped) return;
    const { topic, partition } = payload.batch;
    pauses.hold(topic, partition, failing.failed(topic, partition, offset, error));
  };

  /** True if the message has gone to the dead letters, and is done with; else its partition waits. */
  const buried = async (what: Failed, payload: EachBatchPayload): Promise<boolean> => {
    const { offset } = what.message;
    if (deadLetters === undefined || what.attempts < policy.settings.maxAttempts) {
      failed(payload, offset, what.error);
      return false;
    }
    try {
      await deadLetters.write(what);
    } catch (error) {
      failed(payload, offset, error);
      return false;
    }
    failing.buried(what);
    return true;
  };

  const eachMessageOf =
    (config: RetryRunConfig, handler: NonNullable<RetryRunConfig['eachMessage']>) =>
    (payload: EachBatchPayload): Promise<void> =>
      guarded(payload, async (guard) => {
        const { batch, resolveOffset, isRunning, isStale } = payload;
        const { topic, partition } = batch;
        const commits = config.autoCommit !== false && commitsWithin(config);
        const pause = pauses.asked(payload);
        let beatAt = performance.now();
        for (const message of batch.messages) {
          // Handlers that are done at once leave no time for timers.
          if (performance.now() - beatAt > heartbeatIntervalMs / 3) {
            beatAt = performance.now();
            await payload.heartbeat();
          }
          if (!isRunning() || isStale() || guard.lost !== undefined) return;
          const attempt = failing.attempt(topic, partition, message.offset);
          const { signal, heartbeat } = guard;
          try {
            await handler({ topic, partition, message, heartbeat, pause, signal, attempt });
          } catch (error) {
            // What a rebalance broke off is nobody's failure; stopped is not failed either.
            if (guard.lost !== undefined || stopped) return;
            const what = { topic, partition, message, error, attempts: attempt };
            if (!(await buried(what, payload))) return;
          }
          if (attempt > 1) failing.passed(topic, partition, attempt);
          resolveOffset(message.offset);
          if (commits) await payload.commitOffsetsIfNecessary();
          if (pauses.isAsked(topic, partition)) return;
        }
      });

  const eachBatchOf =
    (config: RetryRunConfig, handler: NonNullable<RetryRunConfig['eachBatch']>) =>
    (payload: EachBatchPayload): Promise<void> =>
      guarded(payload, async (guard) => {
        const { batch } = payload;
        const { topic, partition } = batch;
        let next = batch.firstOffset() ?? '0';
        const attempt = failing.attempt(topic, partition, next);
        const resolveOffset = (offset: string): void => {
          next = String(BigInt(offset) + 1n);
          payload.resolveOffset(offset);
        };
        const { signal, heartbeat } = guard;
        const pause = pauses.asked(payload);
        try {
          await handler({ ...payload, resolveOffset, heartbeat, pause, signal, attempt });
        } catch (error) {
          if (guard.lost === undefined) failed(payload, next, error);
          return;
        }
        if (attempt > 1) failing.passed(topic, partition, attempt);
        if (config.eachBatchAutoResolve !== false) payload.resolveOffset(batch.lastOffset());
      });

  reportOutages(driver, policy);
  const abortAll = (): void => {
    stopped = true;
    pauses.clear();
    for (const controller of handlers)
      controller.abort(new Error('The consumer is being stopped.'));
  };

  return {
    ...driver,
    policy,
    run: async (config: RetryRunConfig = {}): Promise<void> => {
      stopped = false;
      const { eachMessage, eachBatch, ...rest } = config;
      if (deadLetters !== undefined && eachMessage === undefined && eachBatch !== undefined) {
        throw misuse(
          'deadLetter needs eachMessage: which message of a batch has failed is not known.',
        );
      }
      const handler =
        eachMessage !== undefined
          ? eachMessageOf(config, eachMessage)
          : eachBatch && eachBatchOf(config, eachBatch);
      // kafkajs would call a batch done whose handler has only returned.
      return driver.run({
        ...rest,
        ...(handler !== undefined && { eachBatch: handler, eachBatchAutoResolve: false }),
      });
    },
    pause: (topics) => pauses.pause(topics),
    resume: (topics) => pauses.resume(topics),
    stop: () => {
      abortAll();
      return driver.stop();
    },
    disconnect: async () => {
      abortAll();
      await driver.disconnect();
      await deadLetters?.close();
    },
  };
}

/** A group that cannot be reached is one outage, however often kafkajs crashes and starts again in it. */
function reportOutages(driver: Consumer, policy: RetryPolicy): void {
  const { clock } = policy.settings;
  let downSince: number | undefined;
  driver.on(driver.events.CRASH, ({ payload: { error, restart } }) => {
    if (downSince !== undefined || !restart) return;
    downSince = clock.now();
    const at = clock.wallNow();
    policy.emit({ type: 'down', operation: 'kafka.consumer', at, since: at, error });
  });
  driver.on(driver.events.GROUP_JOIN, () => {
    if (downSince === undefined) return;
    const downMs = clock.now() - downSince;
    downSince = undefined;
    policy.emit({ type: 'up', operation: 'kafka.consumer', at: clock.wallNow(), downMs });
  });
}

interface Guard {
  readonly signal: AbortSignal;
  readonly heartbeat: () => Promise<void>;
  /** The group goes on without this member, or it must join again. */
  lost: { readonly error: unknown } | undefined;
}

function commitsWithin({ autoCommitInterval, autoCommitThreshold }: RetryRunConfig): boolean {
  return (autoCommitInterval ?? null) !== null || (autoCommitThreshold ?? null) !== null;
}
