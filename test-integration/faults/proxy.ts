import { createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../servers/ports.js';
import { waitFor } from '../servers/wait.js';
import { type FaultCounts, noCounts } from './counts.js';
import type { Cut } from './fault.js';
import { Link } from './link.js';
import {
  ArmedFault,
  type ArmOptions,
  RandomFaults,
  type RandomOptions,
  type Seen,
  type Strike,
  type Trigger,
} from './triggers.js';

/** Where a proxy stands. */
export interface ProxyOptions {
  targetPort: number;
  /** Default 127.0.0.1. */
  targetHost?: string;
  /** Where it listens, on 127.0.0.1. Default: a free port. */
  port?: number;
}

/** One connection that is open now. */
export interface OpenConnection {
  /** 1 for the proxy's first connection. */
  id: number;
  /** Bytes that came from the client. */
  requestBytes: number;
  /** Bytes that came from the server. */
  replyBytes: number;
  /** Bytes from the client that began the connection or followed a reply. */
  requests: number;
}

/** Opens a fault proxy on 127.0.0.1 in front of a server. Until told otherwise it only forwards. */
export async function startProxy(options: ProxyOptions): Promise<FaultProxy> {
  const proxy = new FaultProxy({ ...options, port: options.port ?? (await freePort()) });
  await proxy.accept();
  return proxy;
}

/** A TCP proxy that knows no protocol, breaks connections on demand, and counts what it really broke. */
export class FaultProxy implements AsyncDisposable {
  /** The same for the proxy's whole life, also across `refuse()` and `accept()`. */
  readonly port: number;
  readonly #counts: FaultCounts = noCounts();
  readonly #links = new Set<Link>();
  #triggers: Trigger[] = [];
  #target: { port: number; host: string };
  #server: Server | undefined;
  #delays = { requestMs: 0, replyMs: 0 };
  #silent: 'hold' | 'drop' | undefined;
  #ids = 0;

  constructor(options: Required<Pick<ProxyOptions, 'port'>> & ProxyOptions) {
    this.port = options.port;
    this.#target = { port: options.targetPort, host: options.targetHost ?? '127.0.0.1' };
  }

  /** What really happened so far; a copy. */
  get counts(): FaultCounts {
    return { ...this.#counts };
  }

  /** Clients connected now. */
  get open(): number {
    return this.connections.length;
  }

  /** Clients connected now, oldest first. */
  get connections(): OpenConnection[] {
    return [...this.#links]
      .filter((link) => !link.clientClosed)
      .map(({ id, request, reply, requests }) => ({
        id,
        requestBytes: request.bytes,
        replyBytes: reply.bytes,
        requests,
      }));
  }

  /** New connections go to another server from now on; open ones stay where they are. */
  retarget(port: number, host = '127.0.0.1'): void {
    this.#target = { port, host };
  }

  /** Closes the listener: new connections get ECONNREFUSED from the kernel. Open ones go on; see `cutAll`. */
  refuse(): void {
    if (!this.#server) return;
    this.#counts.refusals++;
    this.#server.close();
    this.#server = undefined;
  }

  /** Listens again, on the same port. */
  async accept(): Promise<void> {
    if (this.#server) return;
    await waitFor(async () => this.#server !== undefined || (await this.#listen()), {
      what: `port ${this.port} to be free for the proxy`,
    });
  }

  /** Every chunk is delivered so many ms late from now on; 0 ends it. A number counts for both directions. */
  delay(ms: number | { requestMs?: number; replyMs?: number }): void {
    this.#delays =
      typeof ms === 'number' ? { requestMs: ms, replyMs: ms } : { requestMs: 0, replyMs: 0, ...ms };
    for (const link of this.#links) this.#slow(link);
  }

  /** Connections are still accepted, but nothing passes on any of them; `hold` (default) keeps the bytes for `speak`. */
  silence(bytes: 'hold' | 'drop' = 'hold'): void {
    this.#counts.silences++;
    this.#silent = bytes;
    for (const link of this.#links) this.#freeze(link);
  }

  /** Ends a silence. Connections whose bytes were dropped stay silent until they are closed. */
  speak(): void {
    this.#silent = undefined;
    for (const link of this.#links) {
      link.connect();
      link.request.thaw();
      link.reply.thaw();
    }
  }

  /** Cuts one connection by its `id`, default by RST. */
  cut(id: number, how: Cut = 'reset'): void {
    for (const link of this.#links) if (link.id === id) link.cut(how);
  }

  /** Cuts all open connections, default by RST; returns how many there were. New ones are accepted. */
  cutAll(how: Cut = 'reset'): number {
    const open = [...this.#links].filter((link) => !link.clientClosed);
    for (const link of open) link.cut(how);
    return open.length;
  }

  /** A fault that waits for what passes, once unless told otherwise. Of several that match, the first armed strikes. */
  arm(options: ArmOptions): ArmedFault {
    return this.#watch(new ArmedFault(options));
  }

  /** A storm of random faults over all requests that match. */
  random(options: RandomOptions): RandomFaults {
    return this.#watch(new RandomFaults(options));
  }

  /** No more armed faults, storms, delays and silence; new connections are accepted. What was cut stays cut. */
  async heal(): Promise<void> {
    this.#triggers = [];
    this.delay(0);
    if (this.#silent) this.speak();
    await this.accept();
  }

  /** Closes the listener and every connection. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = server && new Promise((resolve) => server.close(resolve));
    for (const link of this.#links) link.destroy();
    this.#links.clear();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #watch<T extends Trigger>(trigger: T): T {
    this.#triggers = [...this.#triggers.filter((one) => one.live), trigger];
    return trigger;
  }

  #listen(): Promise<true> {
    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) =>
        this.#connection(client),
      );
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', () => {
        this.#server = server;
        resolve(true);
      });
    });
  }

  #connection(client: Socket): void {
    this.#counts.connections++;
    const link = new Link(++this.#ids, client, this.#target, {
      counts: this.#counts,
      watching: () => this.#triggers.some((one) => one.live),
      strike: (seen) => this.#strike(seen),
      closed: (gone) => this.#links.delete(gone),
    });
    this.#links.add(link);
    this.#slow(link);
    if (this.#silent) this.#freeze(link);
    else link.connect();
  }

  #strike(seen: Seen): Strike | undefined {
    for (const trigger of this.#triggers) {
      const strike = trigger.match(seen);
      if (strike) return strike;
    }
    return undefined;
  }

  #slow(link: Link): void {
    link.request.delayMs = this.#delays.requestMs;
    link.reply.delayMs = this.#delays.replyMs;
  }

  #freeze(link: Link): void {
    link.request.freeze(this.#silent === 'drop');
    link.reply.freeze(this.#silent === 'drop');
  }
}
