import { RetryBudget, RetryPolicy } from '@outlast/core-retry';
import { retry as cockatielRetry, handleAll } from 'cockatiel';
import pRetry from 'p-retry';
import { call, compare, print, type Result } from './harness.js';
import { heapUsed } from './heap.js';

const bare = async (): Promise<number> => 1;

/** The retry core on success, and when it has work to do, beside its peers. */
export async function benchCore(): Promise<{ readonly ok: boolean; readonly results: Result[] }> {
  const plain = new RetryPolicy();
  const full = new RetryPolicy({ budget: new RetryBudget(), totalTimeoutMs: 30_000 });
  const cockatiel = cockatielRetry(handleAll, { maxAttempts: 3 });
  const success = await compare(
    'core: one call that succeeds (async function, resolves at once)',
    call('bare call', bare),
    [
      call('retry', () => plain.execute(bare)),
      call('retry + budget + deadline', () => full.execute(bare)),
      call('hand-written loop', () => loop(bare)),
      call('cockatiel 3.2.1 retry', () => cockatiel.execute(bare)),
      call('p-retry 7.1.1', () => pRetry(bare, { retries: 2 })),
    ],
    [
      { subject: 'retry', against: 'bare call', atMost: 2 },
      { subject: 'retry + budget + deadline', against: 'bare call', atMost: 2.5 },
    ],
    150,
  );
  const eager = new RetryPolicy({ baseDelayMs: 0 });
  const failing = await compare(
    'core: fails twice, then succeeds, without delay',
    call('hand-written loop', () => loop(failsTwice())),
    [
      call('retry', () => eager.execute(failsTwice())),
      call('p-retry 7.1.1', () => pRetry(failsTwice(), { retries: 2, minTimeout: 0 })),
    ],
    [{ subject: 'retry', against: 'hand-written loop', atMost: 3 }],
    150,
  );
  const results = [success, failing];
  const gates = results.map(print);
  return { ok: (await growth(full)) && gates.every(Boolean), results };
}

const FAILURE = new Error('not yet');

function failsTwice(): () => Promise<number> {
  let calls = 0;
  return async () => {
    calls += 1;
    if (calls <= 2) throw FAILURE;
    return calls;
  };
}

async function loop<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= 3) throw error;
    }
  }
}

/** What a million calls leave behind. */
async function growth(policy: RetryPolicy): Promise<boolean> {
  for (let i = 0; i < 100_000; i++) await policy.execute(bare);
  const before = await heapUsed();
  for (let i = 0; i < 1_000_000; i++) await policy.execute(bare);
  const bytes = (await heapUsed()) - before;
  // The engine's own bookkeeping moves by some kilobytes either way; a leak of one byte a call is 1 MB.
  const ok = bytes < 50_000;
  console.log(
    `\ncore: heap after 1 000 000 calls ${bytes > 0 ? '+' : ''}${bytes} bytes  ${ok ? 'ok' : 'LEAK'}`,
  );
  return ok;
}
