import type { LaneKey } from '../drill.js';
import type { Ledger } from '../ledger.js';
import type { Client } from './client.js';
import { counterKey, listKey, type Way } from './keys.js';

/** The application that every lane runs: the same operations in the same order, drawn by the same random. */
export class Workload {
  readonly #client: Client;
  readonly #ledger: Ledger;
  readonly #lane: LaneKey;
  #ids = 0;

  constructor(client: Client, ledger: Ledger, lane: LaneKey) {
    this.#client = client;
    this.#ledger = ledger;
    this.#lane = lane;
  }

  /** One operation of one worker. Never rejects. */
  async work(worker: number, random: () => number): Promise<unknown> {
    const which = random();
    if (which < 0.4) return this.#read(worker);
    if (which < 0.6) return this.#count(worker, 'write');
    if (which < 0.75) return this.#push(worker);
    if (which < 0.9) return this.#count(worker, 'exactly once');
    return this.#transaction(worker);
  }

  #read(worker: number): Promise<void> {
    const key = counterKey(this.#lane, worker, 'write');
    return this.#ledger.read(() => this.#client.get(key));
  }

  #count(worker: number, way: Way): Promise<unknown> {
    const counter = counterKey(this.#lane, worker, way);
    const { incrOnce } = this.#client;
    const id = this.#newId(worker);
    return this.#ledger.write(way, { counter }, () =>
      way === 'exactly once' && incrOnce ? incrOnce(id, counter) : this.#client.incr(counter),
    );
  }

  #push(worker: number): Promise<unknown> {
    const id = this.#newId(worker);
    return this.#ledger.write('write', { id }, async () => {
      await this.#client.rpush(listKey(this.#lane, 'write'), id);
      return undefined;
    });
  }

  #transaction(worker: number): Promise<unknown> {
    const id = this.#newId(worker);
    const way = 'transaction';
    return this.#ledger.write(way, { id }, async () => {
      const counter = counterKey(this.#lane, worker, way);
      await this.#client.transaction(counter, listKey(this.#lane, way), id);
      return undefined;
    });
  }

  #newId(worker: number): string {
    this.#ids++;
    return `${worker}-${this.#ids}`;
  }
}
