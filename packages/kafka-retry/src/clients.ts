import type { Clock } from '@outlast/core-retry';

interface Client {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
}

interface Consumer extends Client {
  shutdown(options: { readonly graceMs: number }): Promise<void>;
}

/** A producer of ours takes the grace; kafkajs' own clients have no use for it. */
type Graceful = Client & { disconnect(options?: { readonly graceMs: number }): Promise<void> };

/** The clients that a `Kafka` has made and that are not closed. */
export class Clients {
  private readonly consumers = new Set<Consumer>();
  private readonly others = new Set<Graceful>();

  /** @returns the client, which is forgotten once it is disconnected, until it connects again */
  add<C extends Graceful>(client: C): C {
    follow(client, this.others);
    return client;
  }

  addConsumer<C extends Consumer>(consumer: C): C {
    follow(consumer, this.consumers);
    const { shutdown } = consumer;
    consumer.shutdown = async (options) => {
      await shutdown(options);
      this.consumers.delete(consumer);
    };
    return consumer;
  }

  /**
   * Closes the consumers, whose handlers may still want to send something, then the rest.
   *
   * @throws the first error, when all the others are closed
   */
  async shutdown(graceMs: number, clock: Clock): Promise<void> {
    const endAt = clock.now() + graceMs;
    const ends = await Promise.allSettled(
      [...this.consumers].map((one) => one.shutdown({ graceMs })),
    );
    const leftMs = Math.max(0, endAt - clock.now());
    const others = [...this.others].map((one) => one.disconnect({ graceMs: leftMs }));
    ends.push(...(await Promise.allSettled(others)));
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}

function follow<T extends Client>(client: T, all: Set<T>): void {
  const { connect, disconnect } = client as Client;
  all.add(client);
  client.connect = (...args) => {
    all.add(client);
    return connect(...args);
  };
  client.disconnect = async (...args) => {
    await disconnect(...args);
    all.delete(client);
  };
}
