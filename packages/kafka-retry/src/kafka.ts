import type { RetryPolicy } from '@outlast/core-retry';
import { redact } from '@outlast/core-retry/connector';
import {
  type Consumer,
  Kafka as DriverKafka,
  type ISocketFactory,
  logLevel,
  Partitioners,
  type Producer,
  type RetryOptions,
} from 'kafkajs';
import { createAdmin, type RetryAdmin } from './admin.js';
import { Clients } from './clients.js';
import { createConsumer } from './consumer.js';
import {
  CONSUMER_DEFAULTS,
  checkConsumer,
  type GraceOptions,
  graceOf,
  type RetryConsumer,
  type RetryConsumerConfig,
} from './consumer-options.js';
import { Engine } from './engine.js';
import { checkHealth, type Health } from './health.js';
import { lagOfGroup } from './lag.js';
import {
  type ClientSettings,
  clientSettings,
  type ProducerSettings,
  producerSettings,
  type RetryAdminConfig,
  type RetryKafkaConfig,
  type RetryProducerConfig,
  refuseTypingErrors,
} from './options.js';
import { createProducer, type ProducerOptions, type RetryProducer } from './producer.js';
import { registerReader } from './topic-reader.js';
import { narrowRetry, theirWords } from './vocabulary.js';
import { internals, type WireOptions } from './wire.js';

const DEFAULT_METADATA_MAX_AGE_MS = 300_000;
const DEFAULT_CONNECTION_TIMEOUT_MS = 1000;
/** kafkajs would wait up to ten seconds between its attempts, and come back as late after an outage. */
const DRIVER_RETRY = { maxRetryTime: 1000 };

/** Inside a transaction kafkajs gets over a lost connection or a leader that moved; what takes longer is begun anew. */
const TRANSACTION_RETRY = {
  retries: 5,
  initialRetryTime: 50,
  maxRetryTime: 500,
  factor: 0.2,
  multiplier: 2,
};

/** An admin client of kafkajs looks again at once, for a controller that has moved; the rest is its policy's. */
const ADMIN_RETRY = { ...TRANSACTION_RETRY, retries: 2 };

/**
 * `Kafka` of kafkajs whose producers lose and double nothing, whose consumers no handler can end, and whose admin
 * clients get over outages.
 */
export class Kafka extends DriverKafka {
  /** Who tells what happens: `kafka.policy.on('down', …)`. */
  readonly policy: RetryPolicy;
  readonly #config: RetryKafkaConfig;
  readonly #settings: ClientSettings;
  readonly #clients = new Clients();

  /** @throws OptionError naming the option or variable, the value and what is valid */
  constructor(config: RetryKafkaConfig) {
    refuseTypingErrors(config);
    const { retry, ...driver } = config;
    const settings = clientSettings(retry, config.requestTimeout);
    super({ ...driver, retry: { ...DRIVER_RETRY, ...settings.driver } });
    this.policy = settings.policy;
    this.#config = config;
    this.#settings = settings;
    const { policy } = settings;
    registerReader(this, () => ({ wire: this.#wire(), seeds: config.brokers, policy }));
    this.#report();
  }

  /**
   * A producer as kafkajs has it, on sequence numbers of its own: see docs/kafka.md.
   *
   * @throws OptionError naming the option, the value and what is valid
   */
  override producer(config: RetryProducerConfig = {}): RetryProducer & Producer {
    const own = producerSettings(config);
    const options = this.#producerOptions(config, own, this.#narrowed(config.retry));
    return this.#clients.add(createProducer(options)) as RetryProducer & Producer;
  }

  /**
   * An admin client as kafkajs has it, whose operations get over outages: see docs/kafka.md.
   *
   * @throws OptionError naming the option, the value and what is valid
   */
  override admin({ retry }: RetryAdminConfig = {}): RetryAdmin {
    const narrowed = this.#narrowed(retry);
    const { policy, waitMs, once } = narrowed;
    const options = this.#producerOptions({}, producerSettings({}), narrowed);
    const { wire } = options;
    let engine: Engine | undefined;
    const admin = createAdmin({
      policy,
      waitMs,
      once,
      logger: this.logger().namespace('Admin'),
      emitter: wire.instrumentationEmitter,
      socketFactory: wire.socketFactory as ISocketFactory,
      client: (socketFactory) => this.#driver(socketFactory, ADMIN_RETRY),
      reach: (limitMs) => {
        engine ??= new Engine(options);
        return engine.reach(limitMs);
      },
      close: () => {
        engine?.close();
        engine = undefined;
      },
    });
    return this.#clients.add(admin);
  }

  /** Whether the brokers answer, who they are, and how far a group is behind. Never rejects. */
  healthCheck({ groupId }: { readonly groupId?: string } = {}): Promise<Health> {
    const options = this.#producerOptions({}, producerSettings({}), this.#settings);
    const lag =
      groupId === undefined
        ? undefined
        : () => lagOfGroup(super.admin({ retry: { retries: 0 } }), groupId);
    return checkHealth(this.policy, new Engine(options), true, lag);
  }

  #producerOptions(
    config: RetryProducerConfig,
    own: ProducerSettings,
    narrowed: ClientSettings,
  ): ProducerOptions {
    const {
      createPartitioner = Partitioners.DefaultPartitioner,
      metadataMaxAge,
      allowAutoTopicCreation,
    } = config;
    const partitioner = createPartitioner();
    return {
      ...own,
      ...narrowed,
      wire: this.#wire(),
      seeds: this.#config.brokers,
      partitioner,
      transactional: this.#transactional(config, partitioner),
      allowAutoTopicCreation: allowAutoTopicCreation ?? true,
      metadataMaxAgeMs: metadataMaxAge ?? DEFAULT_METADATA_MAX_AGE_MS,
      logger: this.logger().namespace('Producer'),
      numbersAsked: config.idempotent === true,
    };
  }

  /**
   * A consumer as kafkajs has it, whose handlers may fail: see docs/kafka.md.
   *
   * @throws OptionError naming the option, the value and what is valid
   */
  override consumer(config: RetryConsumerConfig): RetryConsumer & Consumer {
    checkConsumer(config);
    const { retry, deadLetter, retryTopics, onFailure, ...rest } = config;
    const { policy } = this.#narrowed(retry);
    // Our words are about handlers, kafkajs' about its own fetching.
    const driver = retry && theirWords(retry);
    const consumer = super.consumer({
      ...CONSUMER_DEFAULTS,
      ...rest,
      ...(driver !== undefined && { retry: driver }),
    });
    const ours = createConsumer(consumer, {
      policy,
      // A consumer's attempts are its handlers': what they say of patience is not said of brokers.
      waitMs: retry?.waitMs ?? this.#settings.waitMs,
      config,
      // Not the consumer's own attempts and delays: what is forwarded is to arrive.
      producer: () => this.producer({ allowAutoTopicCreation: false }),
      admin: () => super.admin(),
    });
    return this.#clients.addConsumer(ours) as RetryConsumer & Consumer;
  }

  /**
   * Closes all that this client has made: its consumers first, as their `shutdown` does, then its producers, which wait
   * for what is under way. All of it within `graceMs` (30 000), and what kafkajs takes to say goodbye.
   *
   * @throws OptionError naming the option, the value and what is valid
   */
  async shutdown(options: GraceOptions = {}): Promise<void> {
    await this.#clients.shutdown(graceOf(options), this.policy.settings.clock);
  }

  /** One line an outage in kafkajs' own log, in place of one a refused connection. */
  #report(): void {
    const logger = this.logger();
    this.policy.on('down', ({ operation, error }) => {
      const text = error instanceof Error ? error.message : String(error);
      logger.warn('No broker can be reached', { operation, error: redact(text) });
    });
    this.policy.on('up', ({ operation, downMs }) => {
      logger.info('The brokers can be reached again', { operation, downMs: Math.round(downMs) });
    });
  }

  /** The client's settings, unless a part of it has its own. */
  #narrowed(retry: RetryKafkaConfig['retry']): ClientSettings {
    if (retry === undefined) return this.#settings;
    const both = narrowRetry(this.#config.retry, retry);
    return clientSettings(both, this.#config.requestTimeout);
  }

  #transactional(
    config: RetryProducerConfig,
    partitioner: ProducerOptions['partitioner'],
  ): ProducerOptions['transactional'] {
    const { transactionalId, transactionTimeout, maxInFlightRequests } = config;
    if (transactionalId === undefined) return undefined;
    const { allowAutoTopicCreation, metadataMaxAge } = config;
    return {
      client: (socketFactory) => this.#driver(socketFactory, TRANSACTION_RETRY),
      socketFactory: this.#wire().socketFactory as ISocketFactory,
      partitioner,
      config: {
        transactionalId,
        ...(transactionTimeout !== undefined && { transactionTimeout }),
        ...(maxInFlightRequests !== undefined && { maxInFlightRequests }),
        ...(allowAutoTopicCreation !== undefined && { allowAutoTopicCreation }),
        ...(metadataMaxAge !== undefined && { metadataMaxAge }),
      },
    };
  }

  /** kafkajs' own client on sockets that can be thrown away; what it reports of them is of no interest then. */
  #driver(socketFactory: ISocketFactory, retry: RetryOptions): DriverKafka {
    const { retry: _, sasl, ...config } = this.#config;
    const loud = config.logLevel === logLevel.DEBUG;
    return new DriverKafka({
      ...config,
      // kafkajs hangs what it has made of it on the object itself.
      ...(sasl !== undefined && { sasl: { ...sasl } }),
      requestTimeout: this.#settings.requestTimeoutMs,
      socketFactory,
      retry,
      logLevel: loud ? logLevel.DEBUG : logLevel.NOTHING,
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
