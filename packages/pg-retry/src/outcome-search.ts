import type { Attempt } from '@outlast/core-retry';
import type driver from 'pg';
import { isServerError } from './classify.js';
import type { Acquiring } from './connect.js';
import type { PoolCore } from './pool-core.js';
import type { Verdict } from './resolve.js';

/** The least time that a search gets, however short the pool's patience, in milliseconds. */
const SHORTEST_SEARCH_MS = 5000;

/** Asks on one connection what became of a COMMIT. */
export type Look = (client: driver.PoolClient) => Promise<Verdict>;

/** Looks for an outcome on one connection after the other until it is found or time is up. */
export async function searchOutcome(
  core: PoolCore,
  attempt: Attempt,
  bounded: boolean,
  look: Look,
): Promise<Verdict> {
  const { policy, connector, waitMs } = core;
  const { clock } = policy.settings;
  const until = clock.now() + Math.max(waitMs, SHORTEST_SEARCH_MS);
  const left = (): number => Math.min(until - clock.now(), attempt.remainingMs);
  // The attempt's own phase stays what it was when the answer was lost.
  const step: Acquiring = { phase: 'acquire', signal: bounded ? attempt.signal : undefined };
  let why = 'time ran out';
  while (left() > 0) {
    let client: driver.PoolClient;
    try {
      client = await connector.acquire(step, { leftMs: left() }, bounded);
    } catch (error) {
      return { unknown: `no connection could be made (${messageOf(error)})` };
    }
    try {
      const verdict = await inTime(clock, left(), look(client));
      client.release();
      return verdict;
    } catch (error) {
      client.release(true);
      if (isServerError(error) && (error as { code: string }).code.startsWith('42')) {
        return { unknown: `the server refuses to say (${messageOf(error)})` };
      }
      why = messageOf(error);
    }
  }
  return { unknown: why };
}

async function inTime<R>(
  clock: PoolCore['policy']['settings']['clock'],
  ms: number,
  promise: Promise<R>,
): Promise<R> {
  let expire: (reason: Error) => void = () => {};
  const expired = new Promise<never>((_, reject) => {
    expire = reject;
  });
  const timer = clock.setTimeout(() => expire(new Error('time ran out')), ms);
  try {
    return await Promise.race([expired, promise]);
  } finally {
    timer.cancel();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
