import type { Ledger } from '../ledger.js';
import type { Client, Query } from './client.js';
import { counterName, type Way } from './schema.js';

/** The application that every lane runs: the same operations in the same order, drawn by the same random. */
export class Workload {
  readonly #client: Client;
  readonly #ledger: Ledger;
  readonly #lane: string;
  readonly #lastId: string[] = [];
  #ids = 0;

  constructor(client: Client, ledger: Ledger, lane: string) {
    this.#client = client;
    this.#ledger = ledger;
    this.#lane = lane;
  }

  /** One operation of one worker. Never rejects. */
  async work(worker: number, random: () => number): Promise<void> {
    const [which, how, resolved] = [random(), random(), random() < 0.4];
    if (which < 0.4) return this.#read(worker, how);
    if (which >= 0.8) return this.#transaction(worker);
    const { query, resolvedWrite } = this.#client;
    if (resolved && resolvedWrite) return this.#write(worker, how, 'resolved write', resolvedWrite);
    return this.#write(worker, how, 'write', query);
  }

  #read(worker: number, how: number): Promise<void> {
    const { query } = this.#client;
    return this.#ledger.read(() =>
      how < 0.7
        ? query(`select id, way from ${this.#lane}_orders where id = ?`, [
            this.#lastId[worker] ?? '',
          ])
        : query(`select count(*), max(v) from ${this.#lane}_counters where worker = ?`, [worker]),
    );
  }

  async #write(worker: number, how: number, way: Way, query: Query): Promise<void> {
    if (how < 0.5) {
      const id = this.#newId(worker);
      await this.#ledger.write(way, { id }, async () => {
        await this.#insert(query, id, way);
        this.#lastId[worker] = id;
        return undefined;
      });
    } else {
      const counter = counterName(worker, way);
      await this.#ledger.write(way, { counter }, () => this.#increment(query, worker, way));
    }
  }

  async #transaction(worker: number): Promise<void> {
    const id = this.#newId(worker);
    await this.#ledger.write('transaction', { id }, async () => {
      await this.#client.transaction(async (query) => {
        await this.#increment(query, worker, 'transaction');
        await this.#insert(query, id, 'transaction');
      });
      return undefined;
    });
  }

  #insert(query: Query, id: string, way: Way): Promise<unknown> {
    return query(`insert into ${this.#lane}_orders (id, way) values (?, '${way}')`, [id]);
  }

  // The new value comes back as the id of the insertion: there is no RETURNING here.
  async #increment(query: Query, worker: number, way: Way): Promise<number> {
    const { insertId } = await query(
      `update ${this.#lane}_counters set v = last_insert_id(v + 1) where worker = ? and way = '${way}'`,
      [worker],
    );
    return insertId;
  }

  #newId(worker: number): string {
    this.#ids++;
    return `${worker}-${this.#ids}`;
  }
}
