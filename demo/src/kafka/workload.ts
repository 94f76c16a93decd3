import type { Message } from 'kafkajs';
import type { LaneKey } from '../drill.js';
import type { Ledger } from '../ledger.js';
import type { Client } from './client.js';
import { idOf, PARTITIONS, topicOf, type Way } from './topics.js';

/** The application that every lane runs: the same sends in the same order, drawn by the same random. */
export class Workload {
  readonly #clients: readonly Client[];
  readonly #ledger: Ledger;
  readonly #topic: string;
  #ids = 0;

  /** Its workers share the clients evenly. */
  constructor(clients: readonly Client[], ledger: Ledger, lane: LaneKey) {
    this.#clients = clients;
    this.#ledger = ledger;
    this.#topic = topicOf(lane);
  }

  /** One send of one worker. Never rejects. */
  async work(worker: number, random: () => number): Promise<unknown> {
    const which = random();
    if (which < 0.5) return this.#send(worker, 'keyed', [{ key: `${worker}` }]);
    if (which < 0.8) return this.#send(worker, 'without a key', [{}]);
    const places = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition }));
    return this.#send(worker, 'batch', places);
  }

  /** One send; each message of it is an entry of its own in the ledger. */
  #send(worker: number, way: Way, places: Partial<Message>[]): Promise<unknown> {
    const messages = places.map((place) => ({ ...place, value: this.#newValue(way, worker) }));
    const client = this.#clients[worker % this.#clients.length] as Client;
    const sent = client.send(this.#topic, messages);
    return Promise.all(
      messages.map(({ value }) =>
        this.#ledger.write(way, { id: value }, async () => {
          await sent;
          return undefined;
        }),
      ),
    );
  }

  #newValue(way: Way, worker: number): string {
    this.#ids++;
    return idOf(way, `${worker}-${this.#ids}`);
  }
}
