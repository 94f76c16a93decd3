import type { Connections } from './connections.js';
import { protocolError } from './errors.js';
import type { Metadata } from './metadata.js';
import type { Identity } from './sequence.js';

interface InitProducerIdReply {
  readonly errorCode: number;
  readonly producerId: string;
  readonly producerEpoch: number;
}

/** The producer id of a client: asked of any broker, once, and again when one is used up. */
export class Identities {
  /** Whether the brokers take an epoch that the client has raised by itself. */
  bumpsEpoch = false;
  private identity: Identity | undefined;
  private asking: Promise<Identity> | undefined;
  private readonly connections: Connections;
  private readonly metadata: Metadata;
  private readonly limitMs: number;

  constructor(connections: Connections, metadata: Metadata, limitMs: number) {
    this.connections = connections;
    this.metadata = metadata;
    this.limitMs = limitMs;
  }

  get current(): Identity | undefined {
    return this.identity;
  }

  /** This one is not to be handed out any more. */
  retire(producerId: bigint | undefined): void {
    if (this.identity?.producerId === producerId) this.identity = undefined;
  }

  /** @throws the last broker's error, if none gave one */
  get(): Promise<Identity> {
    if (this.identity !== undefined) return Promise.resolve(this.identity);
    this.asking ??= this.ask().finally(() => {
      this.asking = undefined;
    });
    return this.asking;
  }

  private async ask(): Promise<Identity> {
    let last: unknown;
    for (const address of await this.metadata.candidates()) {
      try {
        const reply = await this.connections.ask(address, this.limitMs, async (connection) => {
          this.bumpsEpoch = connection.bumpsEpoch;
          return connection.ask<InitProducerIdReply>('InitProducerId', {
            transactionalId: null,
            transactionTimeout: 60_000,
          });
        });
        if (reply.errorCode !== 0) throw protocolError(reply.errorCode);
        this.identity = { producerId: BigInt(reply.producerId), epoch: reply.producerEpoch };
        return this.identity;
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }
}
