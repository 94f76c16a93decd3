import { type Command, CommandClass } from './driver.js';

const asked = new WeakSet<object>();

/**
 * Asks once a client whether its server may throw stored replies away, and warns if it may: with an
 * evicting `maxmemory-policy` nobody knows what ran already. Never fails and holds up nothing.
 */
export function warnOfEviction(client: { sendCommand(command: Command): unknown }): void {
  if (asked.has(client)) return;
  asked.add(client);
  const info = new CommandClass('info', ['memory'], { replyEncoding: 'utf8' });
  info.promise.then(
    (reply) => {
      const limit = /^maxmemory:(\d+)/m.exec(String(reply))?.[1];
      const policy = /^maxmemory_policy:(\S+)/m.exec(String(reply))?.[1];
      if (limit === undefined || limit === '0' || policy === 'noeviction') return;
      process.emitWarning(
        `exactlyOnce cannot keep its promise: Redis may evict stored replies (maxmemory-policy ${policy}). Use noeviction.`,
        { type: 'OutlastWarning', code: 'OUTLAST_REDIS_EVICTION' },
      );
    },
    () => {},
  );
  client.sendCommand(info);
}
