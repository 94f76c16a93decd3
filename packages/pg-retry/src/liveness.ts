import { connect, type Socket } from 'node:net';
import type { Clock, Timer } from '@outlast/core-retry';
import type driver from 'pg';
import { addressOf, internals } from './driver.js';

/** Default of `livenessMs`, in milliseconds. */
export const LIVENESS_MS = 10_000;

/** Looks in a silence: two make it certain that a statement has been silent for the whole of it. */
const LOOKS = 2;
const LONGEST_ASK_MS = 5000;
/** Failed asks in a row after which the connection is given up. */
const ASKS = 2;

/** SSLRequest of the protocol (code 80877103): every server answers it with one byte, before any login. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/** Errors that come from the other side, or from the way there; of others this machine may be the cause. */
const AWAY: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ETIMEDOUT',
]);

/** Asks whether the server at an address answers at all; false only if it certainly does not. */
export type AskHost = (host: string, port: number, limitMs: number) => Promise<boolean>;

interface Watched {
  bytes: number;
  silentLooks: number;
  asking: boolean;
}

/**
 * Finds the statements that wait for a server that has vanished or is frozen: nothing moves on their
 * connection for `livenessMs`, and twice in a row the same host does not take another one. Then the
 * socket is destroyed, and the statement has its verdict. A slow statement on a server that answers is
 * left alone. One timer a pool, alive while it has clients; a statement costs nothing.
 */
export class Liveness {
  readonly #clients: () => readonly driver.ClientBase[];
  readonly #clock: Clock;
  readonly #livenessMs: number;
  readonly #ask: AskHost;
  readonly #watched = new WeakMap<driver.ClientBase, Watched>();
  #timer: Timer | undefined;

  constructor(
    clients: () => readonly driver.ClientBase[],
    clock: Clock,
    livenessMs: number,
    ask: AskHost = askHost,
  ) {
    this.#clients = clients;
    this.#clock = clock;
    this.#livenessMs = livenessMs;
    this.#ask = ask;
  }

  /** A client was connected. */
  begin(): void {
    if (this.#timer !== undefined || this.#livenessMs === Infinity) return;
    this.#timer = this.#clock.setTimeout(() => this.#look(), this.#livenessMs / LOOKS, {
      unref: true,
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #look(): void {
    this.#timer = undefined;
    const clients = this.#clients();
    for (const client of clients) {
      if (this.#isSilent(client)) void this.#examine(client);
    }
    if (clients.length > 0) this.begin();
  }

  #isSilent(client: driver.ClientBase): boolean {
    const { readyForQuery, connection } = internals(client);
    const { stream } = connection ?? {};
    if (readyForQuery !== false || stream === undefined) {
      this.#watched.delete(client);
      return false;
    }
    // A long upload is no silence either.
    const bytes = stream.bytesRead + stream.bytesWritten;
    const seen = this.#watched.get(client);
    if (seen === undefined || seen.bytes !== bytes) {
      this.#watched.set(client, { bytes, silentLooks: 0, asking: seen?.asking ?? false });
      return false;
    }
    seen.silentLooks += 1;
    return seen.silentLooks >= LOOKS && !seen.asking;
  }

  async #examine(client: driver.ClientBase): Promise<void> {
    const watched = this.#watched.get(client) as Watched;
    const { host, port } = addressOf(client);
    watched.asking = true;
    const limitMs = Math.min(this.#livenessMs / LOOKS, LONGEST_ASK_MS);
    let refused = 0;
    while (refused < ASKS && !(await this.#ask(host, port, limitMs))) refused += 1;
    watched.asking = false;
    // Asked again after another silence.
    watched.silentLooks = 0;
    // Something may have moved while we asked.
    if (refused < ASKS || this.#watched.get(client) !== watched || this.#moved(client, watched)) {
      return;
    }
    const error = new Error(
      `The server has been silent for ${this.#livenessMs} ms and does not answer on another connection either.`,
    );
    internals(client).connection?.stream?.destroy(Object.assign(error, { code: 'ETIMEDOUT' }));
  }

  #moved(client: driver.ClientBase, { bytes }: Watched): boolean {
    const { readyForQuery, connection } = internals(client);
    const { stream } = connection ?? {};
    return (
      readyForQuery !== false ||
      stream === undefined ||
      stream.bytesRead + stream.bytesWritten !== bytes
    );
  }
}

/** @param host a name, an address, or the folder of a Unix socket */
export function askHost(host: string, port: number, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = host.startsWith('/')
      ? connect(`${host}/.s.PGSQL.${port}`)
      : connect(port, host);
    const done = (answers: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answers);
    };
    const timer = setTimeout(() => done(false), limitMs);
    timer.unref();
    socket.unref();
    socket.once('connect', () => socket.write(SSL_REQUEST));
    socket.once('data', () => done(true));
    socket.once('end', () => done(false));
    socket.once('error', (error: NodeJS.ErrnoException) => done(!AWAY.has(error.code)));
  });
}
