import { connect as dial } from 'node:net';
import type { Phase, RetryPolicy } from '@outlast/core-retry';
import { onAbort, type Patience, Reconnect } from '@outlast/core-retry/connector';
import { classifyHttp } from './classify.js';
import { CONNECT_TIMEOUT_MS } from './tracking.js';

/** What sending needs of its attempt. */
export interface Sending {
  phase: Phase;
  readonly signal?: AbortSignal | undefined;
}

/** Where a request goes, if it goes straight there. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

// Beyond so many the oldest that nobody waits for is forgotten.
const MOST_ORIGINS = 256;

/** Codes of a server that cannot be reached, rather than of one that says no. */
const OUTAGES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EAI_AGAIN',
]);

/** Waits for servers while they cannot be reached: one reconnect loop an origin. */
export class Origins {
  private readonly policy: RetryPolicy;
  private readonly known = new Map<string, Reconnect>();
  private closed = false;

  constructor(policy: RetryPolicy) {
    this.policy = policy;
  }

  /**
   * Sends, as soon as the server can be reached; waits out an outage for as long as patience lasts.
   *
   * @param target asked once there is an outage; undefined if the way there is not known: then a failed
   *   connect is a failed attempt
   * @param again whether it can be sent anew after a connect that failed
   */
  async send<T>(
    target: () => Target | undefined,
    attempt: Sending,
    patience: Patience,
    again: boolean,
    send: () => Promise<T>,
  ): Promise<T> {
    for (;;) {
      const known = this.find(target);
      if (known !== undefined && known.waiting > 0) {
        attempt.phase = 'acquire';
        await this.wait(known, patience, attempt.signal);
      }
      try {
        const value = await send();
        if (this.known.size > 0) this.find(target)?.succeeded();
        return value;
      } catch (error) {
        // Moved on by the request itself.
        const { phase } = attempt;
        if (phase === 'sent') this.find(target)?.succeeded();
        const to = isOutage(error, phase) ? target() : undefined;
        if (to === undefined) throw error;
        const down = this.of(to);
        down.failed(error);
        if (!again) throw error;
        attempt.phase = 'acquire';
        await this.wait(down, patience, attempt.signal);
      }
    }
  }

  /** Rejects who waits, and who will. */
  close(): void {
    this.closed = true;
    for (const reconnect of this.known.values()) reconnect.close();
  }

  private find(target: () => Target | undefined): Reconnect | undefined {
    if (this.known.size === 0) return undefined;
    const to = target();
    return to && this.known.get(keyOf(to));
  }

  private of(target: Target): Reconnect {
    const key = keyOf(target);
    let reconnect = this.known.get(key);
    if (reconnect === undefined) {
      reconnect = new Reconnect({
        service: `http ${key}`,
        policy: this.policy,
        probe: () => probe(target),
        isPermanent: (error) => !classifyHttp(error, 'connect').transient,
      });
      this.forgetSome();
      this.known.set(key, reconnect);
      if (this.closed) reconnect.close();
    }
    return reconnect;
  }

  private forgetSome(): void {
    if (this.known.size < MOST_ORIGINS) return;
    for (const [key, { waiting }] of this.known) {
      if (waiting > 0) continue;
      this.known.delete(key);
      return;
    }
  }

  private async wait(
    reconnect: Reconnect,
    patience: Patience,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await reconnect.spend(patience, signal);
    for (;;) {
      const ms = reconnect.slowStart.admit();
      if (ms === 0) return;
      await this.pause(ms, signal);
    }
  }

  private pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.policy.settings.clock.setTimeout(() => {
        unwatch?.();
        resolve();
      }, ms);
      const unwatch =
        signal &&
        onAbort(signal, (reason) => {
          timer.cancel();
          reject(reason);
        });
    });
  }
}

function isOutage(error: unknown, phase: Phase): boolean {
  if (phase === 'sent') return false;
  const { code, transient } = classifyHttp(error, phase);
  return transient && code !== undefined && OUTAGES.has(code);
}

function probe({ host, port }: Target): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = dial({ host, port, timeout: CONNECT_TIMEOUT_MS });
    socket.on('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.on('timeout', () =>
      socket.destroy(Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT' })),
    );
    socket.on('error', reject);
  });
}

function keyOf({ host, port }: Target): string {
  return `${host}:${port}`;
}

/** The server that a URL names. */
export function targetOf(url: URL): Target | undefined {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80) };
}
