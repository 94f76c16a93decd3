import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Facts } from '../audit.js';
import type { Ledger } from '../ledger.js';
import type { Client } from './client.js';

/** Whether a folder holds the file that was registered, byte by byte. */
export interface Registered {
  readonly model: string;
  readonly file: string;
  readonly sha256: string;
}

/** The application that every lane runs: one fetch after the other, each into a folder that is new. */
export class Workload {
  readonly #client: Client;
  readonly #ledger: Ledger;
  readonly #registered: Registered;
  readonly #folder: string;
  /** Fetches whose folder held the right bytes. */
  readonly #right = new Map<string, number>();
  #ids = 0;

  constructor(client: Client, ledger: Ledger, registered: Registered, folder: string) {
    this.#client = client;
    this.#ledger = ledger;
    this.#registered = registered;
    this.#folder = folder;
  }

  /** One fetch. Never rejects. */
  async work(): Promise<unknown> {
    this.#ids++;
    const id = `${this.#ids}`;
    const into = join(this.#folder, id);
    const { model } = this.#registered;
    let path = into;
    await this.#ledger.write('fetch', { id }, async () => {
      path = await this.#client.fetch(model, into);
      if (await this.#isRight(path)) this.#right.set(id, 1);
      return undefined;
    });
    await rm(into, { recursive: true, force: true, maxRetries: 3 });
    return undefined;
  }

  get facts(): Facts {
    return {
      ids: this.#right,
      counters: new Map(),
      byWay: new Map([['fetch', this.#right.size]]),
      torn: 0,
    };
  }

  /** Looked at past every client. */
  async #isRight(path: string): Promise<boolean> {
    const { file, sha256 } = this.#registered;
    const bytes = await readFile(join(path, file)).catch(() => undefined);
    return bytes !== undefined && createHash('sha256').update(bytes).digest('hex') === sha256;
  }
}
