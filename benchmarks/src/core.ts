import {
  BreakerRegistry,
  CircuitBreaker,
  RetryBudget,
  RetryManager,
  RetryPolicy,
} from '@outlast/core-retry';
import {
  ConsecutiveBreaker,
  circuitBreaker as cockatielBreaker,
  retry as cockatielRetry,
  handleAll,
  wrap,
} from 'cockatiel';
import Opossum from 'opossum';
import pRetry from 'p-retry';
import { call, compare, print, type Result } from './harness.js';
import { growth, heapUsed } from './heap.js';

const ROUND_MS = 150;
const BARE = 'bare call';
const bare = async (): Promise<number> => 1;

/** The retry core on success, and when it has work to do, beside its peers. */
export async function benchCore(): Promise<{ readonly ok: boolean; readonly results: Result[] }> {
  const results = [await retries(), await breakers(), await stacks(), await listeners()];
  results.push(await outage(), await failing());
  const gates = results.map(print);
  const full = new RetryPolicy({ budget: new RetryBudget(), totalTimeoutMs: 30_000 });
  const steady = await growth('core: heap after 1 000 000 calls', 1_000_000, () =>
    full.execute(bare),
  );
  return { ok: [...gates, steady, await registry(), await timers()].every(Boolean), results };
}

function retries(): Promise<Result> {
  const plain = new RetryPolicy();
  const full = new RetryPolicy({ budget: new RetryBudget(), totalTimeoutMs: 30_000 });
  const cockatiel = cockatielRetry(handleAll, { maxAttempts: 3 });
  return compare(
    'core: retry, one call that succeeds (async function, resolves at once)',
    call(BARE, bare),
    [
      call('retry', () => plain.execute(bare)),
      call('retry + budget + deadline', () => full.execute(bare)),
      call('hand-written loop', () => loop(bare)),
      call('cockatiel 3.2.1 retry', () => cockatiel.execute(bare)),
      call('p-retry 7.1.1', () => pRetry(bare, { retries: 2 })),
    ],
    [
      { subject: 'retry', against: BARE, atMost: 2 },
      { subject: 'retry + budget + deadline', against: BARE, atMost: 2.5 },
    ],
    ROUND_MS,
  );
}

function breakers(): Promise<Result> {
  const consecutive = new CircuitBreaker();
  const counted = new CircuitBreaker({ failureRate: 0.5 });
  const timed = new CircuitBreaker({ failureRate: 0.5, windowMs: 30_000 });
  const cockatiel = newCockatielBreaker();
  const opossum = new Opossum(bare, { timeout: false, rollingPercentilesEnabled: false });
  return compare(
    'core: circuit breaker, closed, one call that succeeds',
    call(BARE, bare),
    [
      call('breaker', () => consecutive.execute(bare)),
      call('breaker, window of 100 calls', () => counted.execute(bare)),
      call('breaker, window of 30 s', () => timed.execute(bare)),
      call('cockatiel 3.2.1 breaker', () => cockatiel.execute(bare)),
      call('opossum 9.0.0, no timeout, no percentiles', () => opossum.fire()),
    ],
    [{ subject: 'breaker', against: BARE, atMost: 2.1 }],
    ROUND_MS,
  ).finally(() => opossum.shutdown());
}

function stacks(): Promise<Result> {
  const both = new RetryPolicy({ breaker: new CircuitBreaker() });
  const all = new RetryPolicy({
    breaker: new CircuitBreaker(),
    budget: new RetryBudget(),
    totalTimeoutMs: 30_000,
  });
  const stack = new RetryPolicy({ breaker: new CircuitBreaker(), budget: new RetryBudget() });
  const manager = new RetryManager();
  const names = { service: 'payments', operation: 'charge' };
  const cockatiel = wrap(cockatielRetry(handleAll, { maxAttempts: 3 }), newCockatielBreaker());
  return compare(
    'core: retry and breaker together',
    call(BARE, bare),
    [
      call('retry + breaker', () => both.execute(bare)),
      call('retry + breaker + budget', () => stack.execute(bare)),
      call('retry + breaker + budget + deadline', () => all.execute(bare)),
      call('the same by a manager', () => manager.execute(bare, names)),
      call('cockatiel 3.2.1 retry + breaker', () => cockatiel.execute(bare)),
    ],
    [
      { subject: 'retry + breaker + budget + deadline', against: BARE, atMost: 3 },
      { subject: 'the same by a manager', against: 'retry + breaker + budget', atMost: 1.15 },
    ],
    ROUND_MS,
  );
}

function listeners(): Promise<Result> {
  const options = () => ({ breaker: new CircuitBreaker(), budget: new RetryBudget() });
  const silent = new RetryPolicy(options());
  const told = new RetryPolicy(options());
  const elsewhere = new RetryPolicy(options());
  const hear = (): void => {};
  told.on('success', hear);
  for (const type of ['retry', 'exhausted', 'outcomeUnknown', 'budget', 'breaker'] as const) {
    elsewhere.on(type, hear);
  }
  return compare(
    'core: what listening costs a call that succeeds',
    call('nobody listens', () => silent.execute(bare)),
    [
      call('a listener to failures and breakers', () => elsewhere.execute(bare)),
      call('a listener to every success', () => told.execute(bare)),
    ],
    [
      { subject: 'a listener to failures and breakers', against: 'nobody listens', atMost: 1.05 },
      { subject: 'a listener to every success', against: 'nobody listens', atMost: 1.5 },
    ],
    ROUND_MS,
  );
}

async function outage(): Promise<Result> {
  const throws = async (): Promise<never> => {
    throw new Error('the service is away');
  };
  const open = () => {
    const breaker = new CircuitBreaker({ failureThreshold: 1 });
    breaker.isolate();
    return breaker;
  };
  const alone = open();
  const policy = new RetryPolicy({ breaker: open() });
  const cockatiel = newCockatielBreaker();
  cockatiel.isolate();
  const opossum = new Opossum(bare, { timeout: false, rollingPercentilesEnabled: false });
  opossum.open();
  const caught = (operation: () => Promise<unknown>) => () => operation().catch(() => {});
  return await compare(
    'core: one call that an open breaker refuses',
    call('bare async throw', caught(throws)),
    [
      call(
        'breaker',
        caught(() => alone.execute(bare)),
      ),
      call(
        'retry + breaker',
        caught(() => policy.execute(bare)),
      ),
      call(
        'cockatiel 3.2.1 breaker',
        caught(() => cockatiel.execute(bare)),
      ),
      call(
        'opossum 9.0.0',
        caught(() => opossum.fire()),
      ),
    ],
    [
      { subject: 'breaker', against: 'bare async throw', atMost: 1 },
      { subject: 'retry + breaker', against: 'bare async throw', atMost: 1 },
    ],
    ROUND_MS,
  ).finally(() => opossum.shutdown());
}

function failing(): Promise<Result> {
  const eager = new RetryPolicy({ baseDelayMs: 0 });
  return compare(
    'core: fails twice, then succeeds, without delay',
    call('hand-written loop', () => loop(failsTwice())),
    [
      call('retry', () => eager.execute(failsTwice())),
      call('p-retry 7.1.1', () => pRetry(failsTwice(), { retries: 2, minTimeout: 0 })),
    ],
    [{ subject: 'retry', against: 'hand-written loop', atMost: 3 }],
    ROUND_MS,
  );
}

/** 10 000 breakers of 100 services. */
async function registry(): Promise<boolean> {
  const before = await heapUsed();
  const breakers = new BreakerRegistry();
  for (let i = 0; i < 10_000; i++) breakers.get(`service-${i % 100}`, `operation-${i}`);
  const megabytes = ((await heapUsed()) - before) / 1e6;
  const ok = megabytes <= 5 && breakers.size === 10_000;
  console.log(`core: 10 000 breakers ${megabytes.toFixed(2)} MB  ${ok ? '≤ 5 ok' : '> 5 MISSED'}`);
  return ok;
}

/** Nothing of ours is armed while nothing sleeps. */
async function timers(): Promise<boolean> {
  const manager = new RetryManager({
    store: { load: async () => undefined, save: async () => {} },
  });
  await manager.execute(bare, { service: 'payments', operation: 'charge' });
  const armed = process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout');
  console.log(`core: timers while nothing sleeps: ${armed.length}`);
  return armed.length === 0;
}

function newCockatielBreaker(): ReturnType<typeof cockatielBreaker> {
  return cockatielBreaker(handleAll, {
    halfOpenAfter: 60_000,
    breaker: new ConsecutiveBreaker(5),
  });
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
