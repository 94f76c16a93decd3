import { Kafka as DriverKafka, Partitioners, type Producer } from 'kafkajs';
import {
  type ClientSettings,
  clientSettings,
  producerSettings,
  type RetryKafkaConfig,
  type RetryProducerConfig,
  refuseTypingErrors,
} from './options.js';
import type { KafkaPolicy } from './policy.js';
import { createProducer, type RetryProducer } from './producer.js';
import { internals, type WireOptions } from './wire.js';

const DEFAULT_METADATA_MAX_AGE_MS = 300_000;
const DEFAULT_CONNECTION_TIMEOUT_MS = 1000;

/** What a producer gets that has a `transactionalId`: kafkajs' own, untouched. */
interface TransactionalConfig extends RetryProducerConfig {
  readonly transactionalId: string;
}

/**
 * `Kafka` of kafkajs whose producers lose and double nothing. Consumers, admin clients and producers with a
 * `transactionalId` are kafkajs' own.
 */
export class Kafka extends DriverKafka {
  /** Who tells what happens: `kafka.policy.on('down', …)`. */
  readonly policy: KafkaPolicy;
  readonly #config: RetryKafkaConfig;
  readonly #settings: ClientSettings;

  /** @throws OptionError naming the option or variable, the value and what is valid */
  constructor(config: RetryKafkaConfig) {
    refuseTypingErrors(config);
    const { retry, ...driver } = config;
    const settings = clientSettings(retry, config.requestTimeout);
    super({ ...driver, ...(settings.driver !== undefined && { retry: settings.driver }) });
    this.policy = settings.policy;
    this.#config = config;
    this.#settings = settings;
  }

  /**
   * A producer as kafkajs has it, on sequence numbers of its own: see docs/kafka.md. With a `transactionalId` it is
   * kafkajs' own.
   *
   * @throws OptionError naming the option, the value and what is valid
   */
  override producer(config: TransactionalConfig): Producer;
  override producer(config?: RetryProducerConfig): RetryProducer;
  override producer(config: RetryProducerConfig = {}): Producer | RetryProducer {
    const own = producerSettings(config);
    const narrowed =
      config.retry === undefined
        ? this.#settings
        : clientSettings({ ...this.#config.retry, ...config.retry }, this.#config.requestTimeout);
    if (config.transactionalId !== undefined) return this.#driverProducer(config, narrowed);
    const {
      createPartitioner = Partitioners.DefaultPartitioner,
      metadataMaxAge,
      allowAutoTopicCreation,
    } = config;
    return createProducer({
      ...own,
      ...narrowed,
      wire: this.#wire(),
      seeds: this.#config.brokers,
      partitioner: createPartitioner(),
      allowAutoTopicCreation: allowAutoTopicCreation ?? true,
      metadataMaxAgeMs: metadataMaxAge ?? DEFAULT_METADATA_MAX_AGE_MS,
      logger: this.logger().namespace('Producer'),
      numbersAsked: config.idempotent === true,
      policy: config.retry === undefined ? this.policy : narrowed.policy,
    });
  }

  #driverProducer(config: RetryProducerConfig, { driver }: ClientSettings): Producer {
    const { retry, lingerMs, maxBatchBytes, maxQueueBytes, overflow, messageIds, ...rest } = config;
    return super.producer({
      ...rest,
      ...(retry !== undefined && driver !== undefined && { retry: driver }),
    });
  }

  #wire(): WireOptions {
    const config = this.#config;
    const { sasl, connectionTimeout = DEFAULT_CONNECTION_TIMEOUT_MS } = config;
    return {
      logger: this.logger(),
      socketFactory: config.socketFactory ?? internals.defaultSocketFactory(),
      ...(config.ssl !== undefined && { ssl: config.ssl }),
      // kafkajs hangs what it has made of it on the object itself.
      ...(sasl !== undefined && { sasl: { ...sasl } }),
      ...(config.clientId !== undefined && { clientId: config.clientId }),
      connectionTimeout,
      requestTimeout: this.#settings.requestTimeoutMs,
      authenticationTimeout: config.authenticationTimeout,
      ...(config.reauthenticationThreshold !== undefined && {
        reauthenticationThreshold: config.reauthenticationThreshold,
      }),
      instrumentationEmitter: new internals.InstrumentationEventEmitter(),
    };
  }
}
