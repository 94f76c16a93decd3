import { KafkaJSConnectionError, KafkaJSRequestTimeoutError } from './driver.js';
import {
  type Api,
  internals,
  makeBroker,
  protocolOf,
  type WireBroker,
  type WireOptions,
  type WirePool,
} from './wire.js';

/** Where a broker listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export function addressKey({ host, port }: Address): string {
  return `${host}:${port}`;
}

/** The first version of InitProducerId of the brokers (2.5) that let a client raise its own epoch. */
const EPOCH_BUMP_VERSION = 3;
const INIT_PRODUCER_ID = 22;
/** What a broker may take to say which versions it knows, in milliseconds. */
const NEGOTIATION_MS = 2000;
/** kafkajs' default for authentication, which it does not keep. */
const AUTHENTICATION_MS = 10_000;

/**
 * One connection to one broker, made once and never used again after it broke: kafkajs tears a re-used
 * connection down a second time when the late end of its old socket arrives.
 */
export class BrokerConnection {
  readonly address: Address;
  readonly key: string;
  /** Requests that wait for their answers. The broker answers them one after the other. */
  busy = 0;
  private readonly broker: WireBroker;
  private readonly pool: WirePool;
  private readonly connectTimeoutMs: number;
  private dialled: Promise<void> | undefined;
  private ready = false;
  private dropped: Error | undefined;
  private fail: ((error: Error) => void) | undefined;

  constructor(address: Address, options: WireOptions) {
    this.address = address;
    this.key = addressKey(address);
    const { broker, pool } = makeBroker(options, address.host, address.port);
    this.broker = broker;
    this.pool = pool;
    const { connectionTimeout, sasl, authenticationTimeout = AUTHENTICATION_MS } = options;
    this.connectTimeoutMs =
      connectionTimeout + NEGOTIATION_MS + (sasl === undefined ? 0 : authenticationTimeout);
  }

  /** Whether it is connected now. */
  get open(): boolean {
    return this.ready && this.dropped === undefined && this.connection.isConnected();
  }

  /** Whether it has been connected, or has failed to be, and is not any more. */
  get dead(): boolean {
    return this.dropped !== undefined || (this.ready && !this.connection.isConnected());
  }

  /** Whether the broker takes an epoch that the client has raised by itself (2.5 and newer). */
  get bumpsEpoch(): boolean {
    return (this.broker.versions?.[INIT_PRODUCER_ID]?.maxVersion ?? 0) >= EPOCH_BUMP_VERSION;
  }

  /** Dials, negotiates versions, authenticates: once, however often it is asked. Bounded in time. */
  connect(): Promise<void> {
    this.dialled ??= this.dial();
    return this.dialled;
  }

  private dial(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.drop(new KafkaJSConnectionError('Connection timeout', { broker: this.key }));
      }, this.connectTimeoutMs);
      this.fail = reject;
      this.broker
        .connect()
        .then(
          () => {
            this.ready = true;
            resolve();
          },
          (error: Error) => {
            reject(error);
            this.drop(error);
          },
        )
        .finally(() => clearTimeout(timer));
    });
  }

  /**
   * Asks for the decoded reply, whatever error codes it carries.
   *
   * @param body called right before the request is written: if it is not called, nothing was sent
   */
  async ask<T>(
    api: Api,
    args: object,
    options: { readonly timeoutMs?: number; readonly body?: (apiVersion: number) => Buffer } = {},
  ): Promise<T> {
    const { versions } = this.broker;
    if (versions === null || !this.open) {
      throw this.dropped ?? new KafkaJSConnectionError('Not connected', { broker: this.key });
    }
    const { body } = options;
    const protocol = protocolOf(versions, api, args);
    const encode = async (): Promise<unknown> => {
      const bytes = (body as (apiVersion: number) => Buffer)(protocol.request.apiVersion);
      // What kafkajs' Encoder wants of another.
      return { buf: bytes, buffer: bytes };
    };
    this.busy += 1;
    try {
      return (await this.connection.send({
        request: body === undefined ? protocol.request : { ...protocol.request, encode },
        response: protocol.response,
        requestTimeout: options.timeoutMs ?? null,
        logResponseError: false,
      })) as T;
    } finally {
      this.busy -= 1;
    }
  }

  /** What a question is answered with that was asked too long ago. */
  silence(limitMs: number): Error {
    return this.ready
      ? new KafkaJSRequestTimeoutError(`The broker did not answer within ${limitMs} ms`, {
          broker: this.key,
        } as never)
      : new KafkaJSConnectionError('Connection timeout', { broker: this.key });
  }

  /** Ends it at once: what waits for an answer rejects with `error`, and its socket is destroyed. */
  drop(
    error: Error = new internals.KafkaJSConnectionClosedError('Closed connection', {
      ...this.address,
    }),
  ): void {
    if (this.dropped !== undefined) return;
    this.dropped = error;
    this.fail?.(error);
    for (const connection of this.pool.pool) {
      const { requestQueue, socket } = connection;
      connection.connectionStatus = 'disconnected';
      try {
        requestQueue.rejectAll(error);
      } catch {
        // A request in a state that kafkajs does not expect: it has been settled.
      }
      requestQueue.destroy();
      socket?.destroy();
      // The queue arms a timer when it is emptied; nobody waits for it.
      requestQueue.destroy();
    }
  }

  // Index 1 is kafkajs' own for fetching.
  private get connection(): WirePool['pool'][number] {
    return this.pool.pool[0] as WirePool['pool'][number];
  }
}
