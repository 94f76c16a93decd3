import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

// Below Linux' ephemeral range (32768): while a server is down, a reconnecting client's own
// outgoing socket could otherwise sit on its port, or even connect to itself.
const LOWEST = 20_000;
const HIGHEST = 32_000;

const taken = new Set<number>();
let next = randomInt(LOWEST, HIGHEST);

/**
 * A TCP port that is free on 127.0.0.1, between 20000 and 32000, never handed out twice by one process.
 */
export async function freePort(): Promise<number> {
  for (let tries = LOWEST; tries < HIGHEST; tries++) {
    const port = next;
    next = next + 1 < HIGHEST ? next + 1 : LOWEST;
    if (taken.has(port)) continue;
    taken.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`No TCP port between ${LOWEST} and ${HIGHEST} is free on 127.0.0.1.`);
}

/** Whether a listener could be opened on 127.0.0.1:`port` right now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
