import type { Command, FlushOptions, QueueItem, RedisInternals, Sink } from './driver.js';
import { type Base, Guard } from './guard.js';
import type { ClientSettings } from './options.js';
import { refused } from './refusals.js';

/** The guard of a client. */
export const GUARD: unique symbol = Symbol('outlast.guard');

export interface Guarded extends RedisInternals {
  [GUARD]: Guard;
}

/**
 * What takes the place of the driver's own methods, on our class or on a client that somebody else made.
 * Each does its part and goes on to the driver's.
 */
export const hooks: Base = {
  sendCommand(this: Guarded, command: Command, sink?: Sink): unknown {
    return this[GUARD].send(command, sink);
  },

  handleReconnection(this: Guarded, error: Error, item: QueueItem): void {
    refused(this[GUARD], error, item);
  },

  flushQueue(this: Guarded, error: Error, options?: FlushOptions): void {
    this[GUARD].flush(error, options);
  },

  disconnect(this: Guarded, reconnect = false): void {
    const guard = this[GUARD];
    const { status } = this;
    if (!reconnect) guard.close();
    guard.base.disconnect.call(this, reconnect);
    // Between two dials there is no socket whose end could end the client: the driver would not.
    if (!reconnect && (status === 'reconnecting' || status === 'close')) {
      this.manuallyClosing = false;
      this.setStatus('end');
    }
  },

  setStatus(this: Guarded, status: string, argument?: unknown): void {
    const guard = this[GUARD];
    const previous = this.status;
    switch (status) {
      case 'connecting':
        if (previous === 'end') guard.reopened();
        break;
      case 'connect':
        guard.handshake.begin();
        break;
      case 'ready':
        guard.handshake.ready();
        guard.outage.ready();
        guard.gaps.ready(this.prevCondition);
        guard.liveness.begin();
        batchWrites(this);
        break;
      case 'close':
        guard.handshake.stop();
        guard.gaps.lost(this.condition);
        guard.liveness.stop();
        break;
      case 'end':
        guard.outage.forget();
        break;
    }
    guard.base.setStatus.call(this, status, argument);
    if (status === 'close') guard.lost(previous);
    else if (status === 'ready') guard.waiting.ready();
    else if (status === 'end') guard.ended();
  },

  silentEmit(this: Guarded, event: string, argument?: unknown): boolean {
    const guard = this[GUARD];
    if (event !== 'error') return guard.base.silentEmit.call(this, event, argument);
    if (argument instanceof Error) {
      guard.socketError = argument;
      // A Sentinel that cannot be asked closes no connection: this is all that is heard of it.
      if (this.status === 'connecting' && !guard.closed) guard.down(argument);
      // Nobody listens: the driver prints each failed dial, and there are five a second. What passes by
      // itself is told by `down` and `up`; what does not must be seen.
      const { transient } = guard.judgeConnect(argument);
      if (transient && this.listenerCount('error') === 0) return false;
    }
    return guard.base.silentEmit.call(this, event, argument);
  },

  _readyCheck(this: Guarded, callback): void {
    const { handshake, base } = this[GUARD];
    handshake.check(() => base._readyCheck.call(this, callback));
  },
};

/** Puts a guard on a client; its options are the driver's own from here on. */
export function guard(
  client: RedisInternals,
  base: Base,
  settings: ClientSettings,
  strategy: unknown,
): void {
  const { options } = client;
  const it = new Guard(client, base, settings);
  (client as Guarded)[GUARD] = it;
  // Ours are the limits of each command; the driver's would flush what was never sent.
  options['maxRetriesPerRequest'] = null;
  delete options['commandTimeout'];
  it.ownStrategy = strategy;
  if (strategy === undefined || typeof strategy === 'function') {
    const own = strategy as ((times: number) => unknown) | undefined;
    options['retryStrategy'] = (times: number) => it.handshake.nextDial(own, times);
  }
}

/** What was queued during an outage is written at once, as its pipelines would have been. */
function batchWrites(client: RedisInternals): void {
  const { stream, offlineQueue } = client;
  if (stream === undefined || offlineQueue.length < 2) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}
