import { Socket } from 'node:net';
import type { FaultCounts } from './counts.js';
import type { Cut, Direction, FaultSpec } from './fault.js';
import { Lane } from './lane.js';
import { type Finder, finder, TAIL } from './pattern.js';
import { strikeReply, strikeRequest } from './strikes.js';
import type { Seen, Strike } from './triggers.js';

/** How long a half-closed socket may take to close, ms. */
const LINGER_MS = 2_000;

/** What a link needs of its proxy. */
export interface LinkHost {
  readonly counts: FaultCounts;
  /** Whether anything watches what passes. */
  watching(): boolean;
  strike(seen: Seen): Strike | undefined;
  closed(link: Link): void;
}

/** `open`: bytes pass; `mute`: requests pass, replies are swallowed; `cut`: the client is gone by our doing. */
type State = 'open' | 'mute' | 'cut';

interface Awaited {
  find: Finder;
  timer: NodeJS.Timeout;
  settle(answered: boolean): void;
}

/** One client's connection and its counterpart to the server. */
export class Link {
  readonly id: number;
  readonly client: Socket;
  readonly upstream: Socket = new Socket({ allowHalfOpen: true });
  readonly request: Lane;
  readonly reply: Lane;
  /** Requests so far: bytes from the client that began the connection or followed a reply. */
  requests = 0;
  clientClosed = false;
  readonly counts: FaultCounts;
  readonly #host: LinkHost;
  readonly #target: { port: number; host: string };
  readonly #tails: Record<Direction, string> = { request: '', reply: '' };
  readonly #passed: Record<Direction, number> = { request: 0, reply: 0 };
  readonly #timers = new Set<NodeJS.Timeout>();
  #state: State = 'open';
  #last: Direction | undefined;
  #gathering: { chunks: Buffer[]; quiet: NodeJS.Timeout } | undefined;
  #awaited: Awaited | undefined;

  constructor(id: number, client: Socket, target: { port: number; host: string }, host: LinkHost) {
    this.id = id;
    this.client = client;
    this.#target = target;
    this.counts = host.counts;
    this.#host = host;
    this.request = new Lane(client, this.upstream, {
      deliver: (chunk) => this.#onRequest(chunk),
      finish: () => this.#onClientEnd(),
    });
    this.reply = new Lane(this.upstream, client, {
      deliver: (chunk, inspected) => this.#onReply(chunk, inspected),
      finish: () => this.#onServerEnd(),
    });
    this.#watchSockets();
  }

  /** Connects to the server, once. */
  connect(): void {
    if (!this.#unconnected) return;
    this.upstream.connect(this.#target);
    this.upstream.setNoDelay(true);
  }

  /** Cuts the client, and with it the way to the server. */
  cut(how: Cut): void {
    if (this.#state === 'cut' || this.clientClosed) return;
    this.cutClient(how);
    this.settle(false);
    if (how === 'reset') this.upstream.resetAndDestroy();
    else this.leaveServer();
  }

  /** From now on requests pass and replies are swallowed. */
  mute(): void {
    this.#state = 'mute';
  }

  /** Keeps the request back until nothing more of it has come for `quietMs`, then hands it over. */
  gather(chunk: Buffer, quietMs: number, gathered: (bytes: Buffer) => void): void {
    const chunks = [chunk];
    const quiet = this.later(quietMs, () => {
      this.#gathering = undefined;
      gathered(Buffer.concat(chunks));
    });
    this.#gathering = { chunks, quiet };
  }

  /** Swallows replies and tells once whether the server has answered, at the latest after `answerMs`. */
  awaitAnswer(spec: FaultSpec, settled: (answered: boolean) => void): void {
    this.#tails.reply = '';
    this.#awaited = {
      find: finder(spec.answered ?? /./s),
      timer: this.later(spec.answerMs ?? 2_000, () => this.settle(false)),
      settle: settled,
    };
  }

  /** Ends the waiting for an answer, if there is one. */
  settle(answered: boolean): void {
    const awaited = this.#awaited;
    if (!awaited) return;
    this.#awaited = undefined;
    clearTimeout(awaited.timer);
    awaited.settle(answered);
  }

  /** Cuts the client alone; returns whether there was one left to cut. */
  cutClient(how: Cut): boolean {
    this.#state = 'cut';
    if (this.clientClosed || this.client.destroyed) return false;
    if (how === 'reset') {
      this.counts.resets++;
      this.client.resetAndDestroy();
    } else {
      this.counts.fins++;
      // unread bytes would turn the FIN into an RST
      this.client.end();
      this.client.resume();
      this.later(LINGER_MS, () => this.client.destroy());
    }
    return true;
  }

  /** Says goodbye in good order, so that the server still reads everything that was forwarded. */
  leaveServer(): void {
    if (this.upstream.destroyed) return;
    this.upstream.end();
    this.upstream.resume();
    this.later(LINGER_MS, () => this.upstream.destroy());
  }

  /** A timer that dies with the link. */
  later(ms: number, run: () => void): NodeJS.Timeout {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        run();
      },
      Math.max(0, ms),
    );
    this.#timers.add(timer);
    return timer;
  }

  /** Drops both sockets and every timer. */
  destroy(): void {
    this.#state = 'cut';
    this.settle(false);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.request.clear();
    this.reply.clear();
    this.client.destroy();
    this.upstream.destroy();
  }

  get #unconnected(): boolean {
    return this.upstream.pending && !this.upstream.connecting && !this.upstream.destroyed;
  }

  #watchSockets(): void {
    const { client, upstream } = this;
    client.on('error', () => {
      if (this.#state !== 'cut' && !this.#gathering) upstream.resetAndDestroy();
    });
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.syscall === 'connect') this.counts.unreachable++;
      if (this.#state === 'cut' || this.clientClosed) return;
      this.#state = 'cut';
      client.resetAndDestroy();
    });
    upstream.on('close', () => {
      this.settle(false);
      this.#closed();
    });
    client.on('close', () => {
      this.clientClosed = true;
      if (this.#state !== 'cut') this.settle(false);
      // a client that never got as far as the server leaves nothing to close there
      if (this.#unconnected) upstream.destroy();
      this.#closed();
    });
  }

  #closed(): void {
    if (!this.clientClosed || !this.upstream.closed) return;
    this.destroy();
    this.#host.closed(this);
  }

  #onRequest(chunk: Buffer): void {
    if (this.#gathering) {
      this.#gathering.chunks.push(chunk);
      this.#gathering.quiet.refresh();
      return;
    }
    if (this.#state === 'cut') return;
    if (this.upstream.destroyed) {
      this.client.resetAndDestroy();
      return;
    }
    const newRequest = this.#last !== 'request';
    this.#last = 'request';
    if (newRequest) this.requests++;
    const strike = this.#inspect('request', chunk, newRequest);
    if (strike) strikeRequest(this, strike, chunk);
    else this.upstream.write(chunk);
  }

  #onReply(chunk: Buffer, inspected: boolean): void {
    if (this.#awaited) {
      const text = this.#tails.reply + chunk.toString('latin1');
      this.#tails.reply = text.slice(-TAIL);
      if (this.#awaited.find(text, 0)) this.settle(true);
      return;
    }
    if (this.#state !== 'open') return;
    this.#last = 'reply';
    const strike = inspected ? undefined : this.#inspect('reply', chunk, false);
    if (strike) strikeReply(this, strike, chunk);
    else this.client.write(chunk);
  }

  #onClientEnd(): void {
    if (this.#state === 'cut' || this.#gathering) return;
    if (this.#unconnected) this.destroy();
    else this.upstream.end();
  }

  #onServerEnd(): void {
    this.settle(false);
    if (this.#state === 'cut') this.leaveServer();
    else this.client.end();
  }

  #inspect(direction: Direction, chunk: Buffer, newRequest: boolean): Strike | undefined {
    const chunkOffset = this.#passed[direction];
    this.#passed[direction] += chunk.length;
    if (this.#state !== 'open' || !this.#host.watching()) {
      this.#tails[direction] = '';
      return undefined;
    }
    const tail = this.#tails[direction];
    const text = tail + chunk.toString('latin1');
    this.#tails[direction] = text.slice(-TAIL);
    const window = { text, offset: chunkOffset - tail.length, chunkOffset };
    return this.#host.strike({ connection: this, direction, window, newRequest });
  }
}
