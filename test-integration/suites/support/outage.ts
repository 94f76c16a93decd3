import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisServer } from '../../servers/index.js';

/** How a server goes down. */
export type Down = 'stop' | 'kill9';

/** The server is away for `downMs` and comes back with its data. */
export async function outage(server: RedisServer, down: Down, downMs = 3000): Promise<void> {
  await server[down]();
  await sleep(downMs);
  await server.start();
}

/** Rejections that nobody handled, from here on until `stop`, which returns them. */
export function watchRejections(): { stop(): unknown[] } {
  const seen: unknown[] = [];
  const listener = (reason: unknown): void => {
    seen.push(reason);
  };
  process.on('unhandledRejection', listener);
  return {
    stop: () => {
      process.off('unhandledRejection', listener);
      return seen;
    },
  };
}
