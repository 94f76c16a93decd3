import type { Ledger } from '../ledger.js';
import type { Client, Query } from './client.js';
import { counterName, type Way } from './schema.js';

/** The application that every lane runs: the same operations in the same order, drawn by the same random. */
export class Workload {
  readonly #client: Client;
  readonly #ledger: Ledger;
  readonly #schema: string;
  readonly #lastId: string[] = [];
  #ids = 0;

  constructor(client: Client, ledger: Ledger, schema: string) {
    this.#client = client;
    this.#ledger = ledger;
    this.#schema = schema;
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
        ? query(`select id, way from ${this.#schema}.orders where id = $1`, [this.#lastId[worker]])
        : query(`select count(*), max(v) from ${this.#schema}.counters where worker = $1`, [
            worker,
          ]),
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
    return query(`insert into ${this.#schema}.orders (id, way) values ($1, '${way}')`, [id]);
  }

  async #increment(query: Query, worker: number, way: Way): Promise<number> {
    const { rows } = await query(
      `update ${this.#schema}.counters set v = v + 1 where worker = $1 and way = '${way}' returning v`,
      [worker],
    );
    return rows[0].v;
  }

  #newId(worker: number): string {
    this.#ids++;
    return `${worker}-${this.#ids}`;
  }
}
