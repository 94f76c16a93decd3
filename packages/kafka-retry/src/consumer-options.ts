import type { RetryPolicy } from '@outlast/core-retry';
import {
  type Check,
  checkOptions,
  duration,
  flag,
  invalidOption,
  type Known,
  nearest,
  nonEmptyText,
  unknownOption,
} from '@outlast/core-retry/connector';
import type {
  Consumer,
  ConsumerConfig,
  ConsumerRunConfig,
  EachBatchPayload,
  EachMessagePayload,
} from 'kafkajs';
import { misuse } from './errors.js';
import type { KafkaRetryOptions } from './options.js';

/** Where a message goes whose attempts are used up. */
export interface DeadLetterOptions {
  readonly topic: string;
  /**
   * Whether it is made if it is not there, with the partitions and replicas of the topic that is read. Default false:
   * while it is missing, or refuses, messages are kept and tried again, and an `alert` tells of it.
   */
  readonly create?: boolean;
}

/** Topics in which messages wait for their next attempt, out of the way of the others. */
export interface RetryTopicOptions {
  /** One topic a delay, in milliseconds: the n-th, from 1, is named `<topic>.<group>.retry.<n>`. */
  readonly delaysMs: readonly number[];
  /** Whether those that are not there are made, with the partitions and replicas of their topic. Default false. */
  readonly create?: boolean;
}

/** Everything that `kafka.consumer()` of kafkajs takes, and ours. */
export interface RetryConsumerConfig extends Omit<ConsumerConfig, 'retry'> {
  /**
   * The delays between the attempts of a handler: `baseDelayMs`, `maxDelayMs`, `backoffFactor`, `jitter`. Attempts end,
   * at `maxAttempts`, only with `retryTopics`, a `deadLetter` or `onFailure`; at once for errors of `neverRetry`.
   */
  readonly retry?: KafkaRetryOptions & ConsumerConfig['retry'];
  /** Where a message goes first that has failed `maxAttempts` (3) times. Default: nowhere. */
  readonly retryTopics?: RetryTopicOptions;
  /** Where it goes then. Default: nowhere; it is tried for ever. */
  readonly deadLetter?: DeadLetterOptions;
  /**
   * What becomes of it without a `deadLetter`: `'retry'` (default) tries it for ever, `'skip'` goes on **without it**,
   * `'stop'` stops the consumer, which begins with it when it runs again.
   */
  readonly onFailure?: 'retry' | 'skip' | 'stop';
}

/** What a handler gets, beside kafkajs' own. */
export interface HandlerExtras {
  /** Aborts when the group is rebalanced under the handler, and when the consumer is stopped. */
  readonly signal: AbortSignal;
  /** How often this message, or a batch that begins with it, has been handed out: from 1. A hint: another member counts anew. */
  readonly attempt: number;
}

/** What a handler of single messages gets more. */
export interface MessageExtras extends HandlerExtras {
  /** Where it was read, if that was in a retry topic. `topic`, `partition` and `message` are those that it had at first. */
  readonly readFrom?: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: string;
  };
}

/** What a handler of batches gets more. */
export interface BatchExtras extends HandlerExtras {
  /**
   * Says that one message of the batch has failed: the others count as handled, and are not handed out again with it.
   *
   * @throws KafkaJSNonRetriableError for an offset that is not in the batch, or that was resolved
   */
  readonly rejectOffset: (offset: string, error: unknown) => void;
}

/** kafkajs' `run`, with handlers that are told more. */
export interface RetryRunConfig extends Omit<ConsumerRunConfig, 'eachMessage' | 'eachBatch'> {
  readonly eachMessage?: (payload: EachMessagePayload & MessageExtras) => Promise<void>;
  readonly eachBatch?: (payload: EachBatchPayload & BatchExtras) => Promise<void>;
}

/** How long things may take that are to end. */
export interface GraceOptions {
  /** In milliseconds. Default 30 000. */
  readonly graceMs?: number;
}

/** kafkajs' consumer, whose handlers may fail. */
export interface RetryConsumer extends Omit<Consumer, 'run'> {
  run(config?: RetryRunConfig): Promise<void>;
  /**
   * Fetches nothing more, lets the handlers that run come to their end, commits, leaves the group and disconnects.
   * What still runs after `graceMs` gets its signal aborted, and a second later is left behind, uncommitted.
   */
  shutdown(options?: GraceOptions): Promise<void>;
  readonly policy: RetryPolicy;
}

/** kafkajs' defaults of 30 s and 5 s mean that it resumes as late after an outage, and after a pause. */
export const CONSUMER_DEFAULTS = { sessionTimeout: 10_000, maxWaitTimeInMs: 500 };

const DEFAULT_GRACE_MS = 30_000;

const DEAD_LETTER: Known<DeadLetterOptions> = { topic: nonEmptyText, create: flag };
const delay = duration();
const delays: Check = (value) =>
  Array.isArray(value) && value.length > 0 && value.every((one) => delay(one) === undefined)
    ? undefined
    : 'a list of at least one number of milliseconds, 0 or more';
const RETRY_TOPICS: Known<RetryTopicOptions> = { delaysMs: delays, create: flag };
const OWN_KEYS = ['retry', 'retryTopics', 'deadLetter', 'onFailure'];
const DRIVER_KEYS: ReadonlySet<string> = new Set(['groupId', 'rackId', 'minBytes', 'maxBytes']);
const FAILURES: readonly unknown[] = ['retry', 'skip', 'stop'];

/** @throws OptionError naming the option, the value and what is valid */
export function checkConsumer(config: RetryConsumerConfig): void {
  const { deadLetter, retryTopics, onFailure } = config;
  for (const key of Object.keys(config)) {
    if (DRIVER_KEYS.has(key) || OWN_KEYS.includes(key)) continue;
    if (nearest(key, OWN_KEYS) !== undefined) throw unknownOption(key, key, OWN_KEYS);
  }
  if (deadLetter !== undefined) {
    checkOptions('deadLetter', deadLetter, DEAD_LETTER);
    const valid = nonEmptyText(deadLetter.topic);
    if (valid !== undefined) throw invalidOption('deadLetter.topic', deadLetter.topic, valid);
  }
  if (retryTopics !== undefined) {
    checkOptions('retryTopics', retryTopics, RETRY_TOPICS);
    const valid = delays(retryTopics.delaysMs);
    if (valid !== undefined)
      throw invalidOption('retryTopics.delaysMs', retryTopics.delaysMs, valid);
  }
  if (onFailure !== undefined) {
    if (!FAILURES.includes(onFailure)) {
      throw invalidOption('onFailure', onFailure, "'retry', 'skip' or 'stop'");
    }
    if (deadLetter !== undefined && onFailure !== 'retry') {
      throw invalidOption(
        'onFailure',
        onFailure,
        'left out, or the deadLetter is: a message has one end',
      );
    }
  }
}

const grace = duration({ infinite: true });

/** @throws OptionError naming the option, the value and what is valid */
export function graceOf({ graceMs = DEFAULT_GRACE_MS }: GraceOptions = {}): number {
  const valid = grace(graceMs);
  if (valid !== undefined) throw invalidOption('shutdown.graceMs', graceMs, valid);
  return graceMs;
}

/** @throws KafkaJSNonRetriableError for what does not go together */
export function checkRun(config: RetryRunConfig, retryTopics: RetryTopicOptions | undefined): void {
  if (retryTopics === undefined) return;
  if (config.eachMessage === undefined && config.eachBatch !== undefined) {
    throw misuse(
      'retryTopics needs eachMessage: messages of a batch are not in one place any more.',
    );
  }
  if (config.autoCommit === false) {
    throw misuse('retryTopics needs autoCommit: what waits in a retry topic is committed there.');
  }
}
