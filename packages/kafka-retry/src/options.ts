import { resolve } from 'node:path';
import { OptionError, RetryPolicy } from '@outlast/core-retry';
import {
  type Check,
  type ConnectorDefaults,
  type ConnectorRetryOptions,
  checkOptions,
  connectorOptions,
  connectorOptionsFromEnv,
  duration,
  flag,
  invalidOption,
  type Known,
  nearest,
  nonEmptyText,
  unknownOption,
  wholeNumber,
} from '@outlast/core-retry/connector';
import type { RetryOptions as DriverRetryOptions, KafkaConfig, ProducerConfig } from 'kafkajs';
import { classifyKafka } from './classify.js';
import type { SpoolSettings } from './spooling.js';
import { type DriverVocabulary, translate } from './vocabulary.js';

const ENV_PREFIXES: readonly string[] = ['KAFKA_RETRY'];

/** Three attempts, 1 s to 10 s between them: for connecting and for `kafkaRetry()`; a publish is bounded by time. */
const DEFAULTS: ConnectorDefaults = { maxAttempts: 3, baseDelayMs: 1000, maxDelayMs: 10_000 };

const DEFAULT_TOTAL_TIMEOUT_MS = 120_000;
const DEFAULT_REQUEST_TIMEOUT_MS = 10_000;
const DEFAULT_MAX_BATCH_BYTES = 1_000_000;
const DEFAULT_MAX_QUEUE_BYTES = 32 * 1024 * 1024;

/** What is under the key `retry`: our words or kafkajs', never both for one value. */
export interface KafkaRetryOptions extends ConnectorRetryOptions, DriverVocabulary {}

/** Everything that `Kafka` of kafkajs takes, and ours. */
export interface RetryKafkaConfig extends Omit<KafkaConfig, 'retry'> {
  readonly retry?: KafkaRetryOptions;
}

/** Everything that `kafka.admin()` of kafkajs takes, in both vocabularies. */
export interface RetryAdminConfig {
  readonly retry?: KafkaRetryOptions;
}

/** Everything that `kafka.producer()` of kafkajs takes, and ours. */
export interface RetryProducerConfig extends Omit<ProducerConfig, 'retry'> {
  readonly retry?: KafkaRetryOptions;
  /** How long a message may wait for others to share its batch, in milliseconds. Default 0: they gather while a request is out. */
  readonly lingerMs?: number;
  /** How many bytes of messages go to one partition at once, at most. Default 1 000 000. */
  readonly maxBatchBytes?: number;
  /** How many bytes of memory messages may take that are under way or wait, what holds them included. Default 32 MiB. */
  readonly maxQueueBytes?: number;
  /** What `send` does when they are full: waits for room (default), or rejects with `QueueFullError`. */
  readonly overflow?: 'wait' | 'reject';
  /** Whether every message gets an `x-message-id` header, unless it has one. Default false; without sequence numbers always. */
  readonly messageIds?: boolean;
  /**
   * Where messages are kept while brokers are away: `send` then resolves when they are acknowledged, or durable there.
   * They are published when the brokers are back, also by the next process. Default: none.
   */
  readonly spool?: SpoolOptions;
}

/** A spool on a disk of this machine. */
export interface SpoolOptions {
  /** A folder that no other producer uses. It is made if it is not there. */
  readonly directory: string;
  /** What its files may hold together, in bytes. Default 1 GiB. */
  readonly maxBytes?: number;
  /** Whether a message is on the disk, and not only with the system, before its `send` resolves. Default true. */
  readonly fsync?: boolean;
}

const LEAST_SPOOL_BYTES = 64 * 1024;
const DEFAULT_SPOOL_BYTES = 1024 * 1024 * 1024;
const isObject: Check = (value) =>
  typeof value === 'object' && value !== null ? undefined : 'an object: { directory, maxBytes }';
const SPOOL: Known<SpoolOptions> = {
  directory: nonEmptyText,
  maxBytes: wholeNumber(LEAST_SPOOL_BYTES),
  fsync: flag,
};

const OWN: Readonly<
  Record<
    'lingerMs' | 'maxBatchBytes' | 'maxQueueBytes' | 'overflow' | 'messageIds' | 'spool',
    Check
  >
> = {
  lingerMs: duration(),
  maxBatchBytes: wholeNumber(1),
  maxQueueBytes: wholeNumber(1),
  overflow: (value) => (value === 'wait' || value === 'reject' ? undefined : "'wait' or 'reject'"),
  messageIds: flag,
  spool: isObject,
};
const OWN_KEYS = ['retry', ...Object.keys(OWN)];
const DRIVER_KEYS: ReadonlySet<string> = new Set([
  'createPartitioner',
  'metadataMaxAge',
  'allowAutoTopicCreation',
  'idempotent',
  'transactionalId',
  'transactionTimeout',
  'maxInFlightRequests',
]);

/** What a client has settled of its options. */
export interface ClientSettings {
  readonly policy: RetryPolicy;
  /** How long `connect()` waits for a broker, in milliseconds. */
  readonly waitMs: number;
  /** How long a publish of which nothing was sent waits for one. */
  readonly patienceMs: number;
  readonly totalTimeoutMs: number;
  /** One attempt and no waiting. */
  readonly once: boolean;
  readonly requestTimeoutMs: number;
  /** What kafkajs is told, in its own words. */
  readonly driver: DriverRetryOptions | undefined;
}

/** What a producer has settled of its own. */
export interface ProducerSettings {
  readonly idempotent: boolean;
  readonly messageIds: boolean;
  readonly lingerMs: number;
  readonly maxBatchBytes: number;
  readonly maxQueueBytes: number;
  readonly overflow: 'wait' | 'reject';
  readonly spool: SpoolSettings | undefined;
}

/** @throws OptionError naming the option or variable, the value and what is valid */
export function clientSettings(
  retry: KafkaRetryOptions | undefined,
  requestTimeoutMs: number | undefined,
): ClientSettings {
  const { own, driver } = translate(retry);
  const environment = connectorOptionsFromEnv(ENV_PREFIXES);
  const { policy, waitMs } = makePolicy(own);
  const once = policy.settings.maxAttempts === 1;
  return {
    policy,
    waitMs,
    patienceMs: once ? 0 : (own.waitMs ?? environment.waitMs ?? Infinity),
    totalTimeoutMs: own.totalTimeoutMs ?? environment.totalTimeoutMs ?? DEFAULT_TOTAL_TIMEOUT_MS,
    once,
    requestTimeoutMs: requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS,
    driver,
  };
}

/** @throws OptionError naming the option, the value and what is valid */
export function producerSettings(config: RetryProducerConfig): ProducerSettings {
  const given = config as Record<string, unknown>;
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || DRIVER_KEYS.has(key)) continue;
    const valid = OWN[key as keyof typeof OWN]?.(value);
    if (valid !== undefined) throw invalidOption(key, value, valid);
    if (!OWN_KEYS.includes(key) && nearest(key, OWN_KEYS) !== undefined) {
      throw unknownOption(key, key, OWN_KEYS);
    }
  }
  // Numbers cost nothing and lose nothing: they are on unless somebody wants none.
  const idempotent = config.idempotent !== false;
  return {
    idempotent,
    messageIds: config.messageIds ?? false,
    lingerMs: config.lingerMs ?? 0,
    maxBatchBytes: config.maxBatchBytes ?? DEFAULT_MAX_BATCH_BYTES,
    maxQueueBytes: config.maxQueueBytes ?? DEFAULT_MAX_QUEUE_BYTES,
    overflow: config.overflow ?? 'wait',
    spool: config.spool && spoolSettings(config.spool),
  };
}

function spoolSettings(spool: SpoolOptions): SpoolSettings {
  checkOptions('spool', spool, SPOOL);
  const { directory, maxBytes = DEFAULT_SPOOL_BYTES, fsync = true } = spool;
  if (directory === undefined) throw invalidOption('spool.directory', directory, 'a folder');
  return { directory: resolve(directory), maxBytes, fsync };
}

/**
 * A retry policy with the classifier, the environment and the defaults of this package, for what is not
 * wrapped: other clients, admin operations. `idempotent` is false unless said otherwise.
 *
 * @throws OptionError naming the option or variable, the value and what is valid
 */
export function kafkaRetry(options?: KafkaRetryOptions): RetryPolicy {
  return makePolicy(translate(options).own).policy;
}

function makePolicy(options: ConnectorRetryOptions): {
  readonly policy: RetryPolicy;
  readonly waitMs: number;
} {
  const { retry, waitMs } = connectorOptions(options, ENV_PREFIXES, DEFAULTS);
  const policy = new RetryPolicy({ classify: classifyKafka, ...retry });
  return { policy, waitMs };
}

/** A key that is all but `retry`, which kafkajs would ignore in silence. */
export function refuseTypingErrors(config: object): void {
  for (const key of Object.keys(config)) {
    if (key !== 'retry' && key.length > 3 && nearest(key, ['retry']) !== undefined) {
      throw new OptionError(key, 'is not an option. Did you mean retry?');
    }
  }
}
