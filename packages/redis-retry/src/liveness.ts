import { connect } from 'node:net';
import type { RetryPolicy, Timer } from '@outlast/core-retry';
import { isBlocking } from './commands.js';
import type { QueueItem, RedisInternals } from './driver.js';
import { connectTimedOut } from './errors.js';

const MISSES = 2;
const DEFAULT_DIAL_MS = 10_000;
/** Of a host that is gone, or of the way to it. What is wrong here (EMFILE, EADDRNOTAVAIL) says nothing of it. */
const GONE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
]);

/**
 * Notices that the other end of a connection is gone, of which TCP tells only after a quarter of an hour:
 * the machine lost its power, or the network its way. While the oldest command has been silent for
 * `silentMs`, its host is dialled; if that fails twice in a row, the connection is dropped. A server that
 * is only slow, stopped or paused takes connections all the same, and is waited for. Costs a command
 * nothing: one timer a connection looks now and then.
 */
export class Liveness {
  private readonly client: RedisInternals;
  private readonly policy: RetryPolicy;
  private readonly silentMs: number;
  private timer: Timer | undefined;
  private oldest: QueueItem | undefined;
  private bytes = 0;
  private silentSince = 0;
  private misses = 0;

  constructor(client: RedisInternals, policy: RetryPolicy, silentMs: number) {
    this.client = client;
    this.policy = policy;
    this.silentMs = silentMs;
  }

  /** Commands can be sent. */
  begin(): void {
    this.stop();
    if (this.silentMs === Infinity) return;
    this.oldest = undefined;
    this.arm();
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  private arm(): void {
    this.timer = this.policy.settings.clock.setTimeout(() => this.look(), this.silentMs / 2, {
      unref: true,
    });
  }

  private look(): void {
    this.arm();
    const { stream, commandQueue } = this.client;
    const now = this.policy.settings.clock.now();
    const oldest = commandQueue.peekFront();
    const bytes = stream?.bytesRead ?? 0;
    if (oldest === undefined || oldest !== this.oldest || bytes !== this.bytes) {
      this.oldest = oldest;
      this.bytes = bytes;
      this.silentSince = now;
      this.misses = 0;
      return;
    }
    const { name, args } = oldest.command;
    if (now - this.silentSince < this.silentMs || isBlocking(name.toLowerCase(), args)) return;
    this.dial();
  }

  private dial(): void {
    const { stream, connectionEpoch, options } = this.client;
    const { remoteAddress: host, remotePort: port } = stream ?? {};
    if (host === undefined || port === undefined) return;
    this.stop();
    const given = options['connectTimeout'];
    const timeoutMs = typeof given === 'number' && given > 0 ? given : DEFAULT_DIAL_MS;
    const socket = connect({ host, port });
    socket.unref();
    const done = (error?: NodeJS.ErrnoException): void => {
      limit.cancel();
      socket.destroy();
      const { client } = this;
      if (client.stream !== stream || client.connectionEpoch !== connectionEpoch) return;
      if (client.status !== 'ready') return;
      this.misses = error !== undefined && GONE.has(error.code ?? '') ? this.misses + 1 : 0;
      if (this.misses >= MISSES) stream?.destroy(error);
      else this.arm();
    };
    const { clock } = this.policy.settings;
    const limit = clock.setTimeout(() => done(connectTimedOut()), timeoutMs, { unref: true });
    socket.once('connect', () => done());
    socket.on('error', done);
  }
}
