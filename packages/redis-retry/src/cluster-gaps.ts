import type { Clock, Timer } from '@outlast/core-retry';
import type { ClusterInternals } from './cluster-driver.js';
import type { Command, RedisInternals } from './driver.js';
import type { Gap } from './gaps.js';

/** As often as other connections are dialled. */
const PACE_MS = 200;

/**
 * Tells the subscribers of a Cluster what they cannot have heard, once a reconnect. The driver hears over
 * one connection for the whole Cluster, or over one a node (`shardedSubscribers`); when one ends it makes
 * another and subscribes again, and says nothing of it.
 */
export function watchSubscribers(client: ClusterInternals, clock: Clock): void {
  watchSubscriber(client, clock);
  watchShards(client, clock);
}

function watchSubscriber(client: ClusterInternals, clock: Clock): void {
  const { subscriber } = client;
  const { selectSubscriber, stop } = subscriber;
  let lostAt: number | undefined;
  let selectedAt = -Infinity;
  let next: Timer | undefined;

  const lost = (instance: RedisInternals | null | undefined): void => {
    if (instance?.condition?.subscriber) lostAt ??= clock.now();
  };

  const follow = (instance: RedisInternals | null): void => {
    instance?.once('close', () => {
      if (subscriber.subscriber === instance) lost(instance);
    });
  };

  // Right after it was made, what it is to hear again waits for its connection.
  const restored = (instance: RedisInternals): void => {
    const commands = commandsOf(instance);
    if (commands.length === 0) return;
    lostAt ??= clock.now();
    const since = lostAt;
    const channels = (kind: string): string[] =>
      commands.filter(({ name }) => name === kind).flatMap(({ args }) => args.map(String));
    const gap = {
      channels: channels('subscribe'),
      patterns: channels('psubscribe'),
      shardChannels: channels('ssubscribe'),
    };
    Promise.all(commands.map(({ promise }) => promise)).then(
      () => {
        if (subscriber.subscriber !== instance) return;
        lostAt = undefined;
        tell(client, { ...gap, downMs: clock.now() - since });
      },
      () => {},
    );
  };

  subscriber.selectSubscriber = (): void => {
    lost(subscriber.subscriber ?? subscriber.lastActiveSubscriber);
    // The driver makes the next one at once, however often it fails.
    const waitMs = selectedAt + PACE_MS - clock.now();
    if (waitMs > 0 && subscriber.subscriber?.status === 'end') {
      next ??= clock.setTimeout(
        () => {
          next = undefined;
          if (subscriber.started) subscriber.selectSubscriber();
        },
        waitMs,
        { unref: false },
      );
      return;
    }
    selectedAt = clock.now();
    selectSubscriber.call(subscriber);
    const instance = subscriber.subscriber;
    follow(instance);
    if (instance !== null) restored(instance);
  };
  subscriber.stop = (): void => {
    lost(subscriber.subscriber);
    next?.cancel();
    next = undefined;
    stop.call(subscriber);
  };
  follow(subscriber.subscriber);
}

function watchShards(client: ClusterInternals, clock: Clock): void {
  const { subscriberGroupEmitter: emitter, shardedSubscribers: group } = client;
  if (emitter === undefined || group === undefined) return;
  const missing = new Map<string, number>();
  emitter.on('-node', (instance: RedisInternals | null) => {
    const subscriber = instance?.condition?.subscriber;
    if (!subscriber) return;
    const now = clock.now();
    for (const channel of subscriber.channels('ssubscribe')) {
      if (!missing.has(channel)) missing.set(channel, now);
    }
  });
  // All connections stand, and what they are to hear has just been asked for.
  emitter.on('subscribersReady', () => {
    if (missing.size === 0) return;
    const restored = new Map<string, Promise<unknown>>();
    for (const one of group.shardedSubscribers.values()) {
      for (const { args, promise } of commandsOf(one.getInstance())) {
        for (const channel of args.map(String)) {
          if (missing.has(channel)) restored.set(channel, promise);
        }
      }
    }
    if (restored.size === 0) return;
    Promise.all(restored.values()).then(
      () => {
        const shardChannels = [...restored.keys()].filter((channel) => missing.has(channel));
        const since = Math.min(...shardChannels.map((channel) => missing.get(channel) ?? Infinity));
        for (const channel of shardChannels) missing.delete(channel);
        if (shardChannels.length === 0) return;
        tell(client, { channels: [], patterns: [], shardChannels, downMs: clock.now() - since });
      },
      () => {},
    );
  });
}

function tell(client: ClusterInternals, gap: Gap): void {
  client.emit('gap', Object.freeze(gap));
}

/** The subscriptions that a connection has been asked for and has not answered yet. */
function commandsOf(instance: RedisInternals | null): Command[] {
  if (instance === null) return [];
  return [...instance.commandQueue.toArray(), ...instance.offlineQueue.toArray()]
    .map(({ command }) => command)
    .filter(({ name }) => /^[ps]?subscribe$/.test(name));
}
