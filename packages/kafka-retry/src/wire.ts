import { createRequire } from 'node:module';
import type { KafkaMessage, Logger } from 'kafkajs';

/**
 * Everything that we take from inside kafkajs, and nowhere else. kafkajs has no exports map and no release
 * since February 2023; the peer is pinned to `~2.2.4`, and `test/wire.test.ts` fails loudly if a path or a
 * shape is not what is written here.
 */
const load = createRequire(import.meta.url);

/** A request or response of kafkajs' protocol, as its `Connection` takes it. */
interface Protocol {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    readonly expectResponse?: () => boolean;
    readonly encode: () => Promise<unknown>;
  };
  readonly response: {
    readonly decode: (raw: Buffer) => Promise<unknown>;
    readonly parse: (decoded: unknown) => unknown;
  };
}

interface RequestQueue {
  rejectAll(error: unknown): void;
  destroy(): void;
}

interface Connection {
  readonly requestQueue: RequestQueue;
  readonly socket?: { destroy(): void; unref(): void };
  connectionStatus: string;
  isConnected(): boolean;
  disconnect(): Promise<unknown>;
  send(
    request: Protocol & {
      readonly requestTimeout?: number | null;
      readonly logResponseError?: boolean;
    },
  ): Promise<unknown>;
}

interface Pool {
  readonly host: string;
  readonly port: number;
  readonly pool: readonly Connection[];
  setVersions(versions: Versions): void;
}

export type Versions = Readonly<Record<number, { minVersion: number; maxVersion: number }>>;

interface Broker {
  readonly versions: Versions | null;
  connect(): Promise<void>;
}

/** The requests that we make. */
export type Api =
  | 'Produce'
  | 'Fetch'
  | 'Metadata'
  | 'GroupCoordinator'
  | 'InitProducerId'
  | 'EndTxn';

type Definition = { readonly versions: readonly string[] };

/** The names of events, and what they are called inside. */
export interface InstrumentationEvents {
  readonly events: Readonly<Record<string, string>>;
  readonly wrap: (name: string) => string;
  readonly unwrap: (name: string) => string;
}

interface Emitter {
  emit(name: string, payload?: unknown): void;
  addListener(name: string, listener: (event: { type: string }) => void): () => void;
}

interface ProtocolErrorShape {
  readonly message: string;
  readonly type: string;
  readonly code: number;
  readonly retriable: boolean;
}

/** What a connection pool of kafkajs is given. */
export interface WireOptions {
  readonly logger: Logger;
  readonly socketFactory: unknown;
  readonly ssl?: unknown;
  readonly sasl?: unknown;
  readonly clientId?: string | undefined;
  readonly connectionTimeout: number;
  readonly requestTimeout: number;
  readonly authenticationTimeout?: number | undefined;
  readonly reauthenticationThreshold?: number | undefined;
  readonly instrumentationEmitter: Emitter;
}

/** What is taken, with the shapes that are relied on. */
interface Internals {
  readonly Broker: new (options: object) => Broker;
  readonly ConnectionPool: new (options: object) => Pool;
  readonly requests: Readonly<Record<Api, Definition>>;
  readonly lookup: (
    versions: Versions,
  ) => (apiKey: number, definition: Definition) => (args: object) => Protocol;
  readonly apiKeys: Readonly<Record<Api, number>>;
  readonly errorCodes: readonly ProtocolErrorShape[];
  readonly KafkaJSConnectionClosedError: new (
    message: string,
    where: { readonly host: string; readonly port: number },
  ) => Error;
  readonly crc32C: (bytes: Buffer) => number;
  readonly lookupCodec: (
    type: number,
  ) => { compress(encoder: { readonly buffer: Buffer }): Promise<Buffer> } | null;
  /** Of a fetch, without marks of transactions and what they have aborted. */
  readonly Batch: new (
    topic: string,
    fetchedOffset: string,
    partition: object,
  ) => { readonly messages: KafkaMessage[]; lastOffset(): string };
  readonly defaultSocketFactory: () => unknown;
  readonly InstrumentationEventEmitter: new () => Emitter;
  readonly producerEvents: InstrumentationEvents;
  readonly adminEvents: InstrumentationEvents;
}

const protocol = load('kafkajs/src/protocol/requests') as Pick<Internals, 'requests' | 'lookup'>;
const errors = load('kafkajs/src/protocol/error') as Pick<Internals, 'errorCodes'>;
const compression = load('kafkajs/src/protocol/message/compression') as Pick<
  Internals,
  'lookupCodec'
>;
const classes = load('kafkajs/src/errors') as Pick<Internals, 'KafkaJSConnectionClosedError'>;

/** In one object, so that the test of the shapes can walk over it. */
export const internals: Internals = {
  Broker: load('kafkajs/src/broker') as Internals['Broker'],
  ConnectionPool: load('kafkajs/src/network/connectionPool') as Internals['ConnectionPool'],
  requests: protocol.requests,
  lookup: protocol.lookup,
  apiKeys: load('kafkajs/src/protocol/requests/apiKeys') as Internals['apiKeys'],
  errorCodes: errors.errorCodes,
  KafkaJSConnectionClosedError: classes.KafkaJSConnectionClosedError,
  crc32C: load('kafkajs/src/protocol/recordBatch/crc32C') as Internals['crc32C'],
  lookupCodec: compression.lookupCodec,
  Batch: load('kafkajs/src/consumer/batch') as Internals['Batch'],
  defaultSocketFactory: load(
    'kafkajs/src/network/socketFactory',
  ) as Internals['defaultSocketFactory'],
  InstrumentationEventEmitter: load(
    'kafkajs/src/instrumentation/emitter',
  ) as Internals['InstrumentationEventEmitter'],
  producerEvents: load('kafkajs/src/producer/instrumentationEvents') as InstrumentationEvents,
  adminEvents: load('kafkajs/src/admin/instrumentationEvents') as InstrumentationEvents,
};

export type { Broker as WireBroker, Emitter as WireEmitter, Pool as WirePool, Protocol };

/** A broker object of kafkajs for one address, with its pool; nothing is dialled yet. */
export function makeBroker(
  options: WireOptions,
  host: string,
  port: number,
): { readonly broker: Broker; readonly pool: Pool } {
  const { logger, authenticationTimeout, ...pooled } = options;
  const quiet = quietLogger(logger);
  const pool = new internals.ConnectionPool({
    ...pooled,
    logger: quiet,
    host,
    port,
    enforceRequestTimeout: true,
  });
  const broker = new internals.Broker({
    connectionPool: pool,
    logger: quiet,
    ...(authenticationTimeout !== undefined && { authenticationTimeout }),
  });
  return { broker, pool };
}

/** A request of the best version that both sides know; its reply is decoded and not judged. */
export function protocolOf(versions: Versions, api: Api, args: object): Protocol {
  const { requests, lookup } = internals;
  const { request, response } = lookup(versions)(internals.apiKeys[api], requests[api])(args);
  return { request, response: { decode: response.decode, parse: (decoded) => decoded } };
}

/** kafkajs' connections report every refusal as an error; while a broker is away that is five a second. */
function quietLogger(logger: Logger): Logger {
  return {
    ...logger,
    error: (message, extra) => logger.debug(message, extra),
    namespace: (name, level) => quietLogger(logger.namespace(name, level)),
  };
}
