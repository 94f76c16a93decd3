import {
  type PolicyEvent,
  type PolicyEventType,
  RetryBudget,
  RetryPolicy,
} from '@outlast/core-retry';
import { type PrometheusOptions, prometheusMetrics } from '@outlast/core-retry/prometheus';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import {
  Counter,
  register as globalRegister,
  type OpenMetricsContentType,
  openMetricsContentType,
  Registry,
} from 'prom-client';
import { describe, expect, it, vi } from 'vitest';
import type { EventSource } from '../src/event-source.js';
import { Emitter } from '../src/events.js';
import { LabelBound } from '../src/label-bound.js';
import { bench, coded, REFUSED, RESET, settled } from './helpers.js';
import { leaks } from './hostile.js';

const at = 0;

/** The samples of a registry as they are scraped, without comments and histograms' inner buckets. */
async function scrape(register: Pick<Registry, 'metrics'>, like = /./): Promise<string[]> {
  const lines = (await register.metrics()).split('\n');
  return lines.filter((line) => line !== '' && !/^#|_bucket\{/.test(line) && like.test(line));
}

/** A policy on a clock of its own, watched through a registry of its own. */
function watched(options: PrometheusOptions = {}): ReturnType<typeof bench> & {
  readonly register: Registry;
  readonly close: () => void;
} {
  const register = new Registry();
  const stack = bench({ operation: 'db.read' });
  return { ...stack, register, ...prometheusMetrics(stack.policy, { register, ...options }) };
}

const opened = (operation: string, more: object = {}): PolicyEvent => ({
  type: 'breaker',
  operation,
  at,
  from: 'closed',
  to: 'open',
  reason: 'why',
  ...more,
});

describe('what is counted', () => {
  it('attempts, retries, ends, delays', async () => {
    const { clock, policy, register } = watched();
    await clock.runUntilSettled(policy.execute(failTimes([coded(REFUSED), coded(RESET)], 1)));
    await policy.execute(() => 1);
    const lost = [coded(REFUSED), coded(REFUSED), coded(RESET)];
    await clock.runUntilSettled(settled(policy.execute(failTimes(lost, 1))));
    await settled(policy.execute(failTimes([new TypeError('bug')], 1)));
    expect(await scrape(register)).toEqual([
      'outlast_attempts_total{operation="db.read"} 8',
      'outlast_retries_total{operation="db.read",category="network"} 4',
      'outlast_operations_total{operation="db.read",result="success"} 2',
      'outlast_operations_total{operation="db.read",result="exhausted"} 1',
      'outlast_operations_total{operation="db.read",result="permanent"} 1',
      'outlast_exhausted_total{operation="db.read",reason="exhausted",category="network"} 1',
      'outlast_exhausted_total{operation="db.read",reason="permanent",category="invalid"} 1',
      'outlast_outcome_unknown_total{operation="db.read"} 2',
      'outlast_operation_attempts_sum{operation="db.read"} 8',
      'outlast_operation_attempts_count{operation="db.read"} 4',
      'outlast_retry_delay_seconds_sum{operation="db.read"} 6',
      'outlast_retry_delay_seconds_count{operation="db.read"} 4',
    ]);
  });

  it('a refusal of the budget', async () => {
    const register = new Registry();
    const clock = new ManualClock();
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 0, clock });
    const policy = new RetryPolicy({ clock, budget, operation: 'op' });
    prometheusMetrics(policy, { register });
    await clock.runUntilSettled(settled(policy.execute(failTimes(3, 1))));
    expect(await scrape(register, /budget/)).toEqual([
      'outlast_operations_total{operation="op",result="budget"} 1',
      'outlast_exhausted_total{operation="op",reason="budget",category="unknown"} 1',
      'outlast_budget_denials_total{operation="op"} 1',
    ]);
  });

  it('failures of a store, and an outage while it lasts', async () => {
    const { policy, register } = watched();
    const store = { type: 'store', operation: 'db', at, action: 'save', error: 1 } as const;
    for (const event of [store, store] as const) policy.emit(event);
    policy.emit({ type: 'up', operation: 'pg', at, downMs: 1 });
    policy.emit({ type: 'down', operation: 'pg', at, since: at, error: 1 });
    const failures = 'outlast_store_failures_total{breaker="db",action="save"} 2';
    expect(await scrape(register)).toEqual([failures, 'outlast_down{operation="pg"} 1']);
    policy.emit({ type: 'up', operation: 'pg', at, downMs: 1 });
    expect(await scrape(register)).toEqual([failures, 'outlast_down{operation="pg"} 0']);
  });

  it('the state of a breaker is 1 for what it is and 0 for the rest', async () => {
    const { policy, register } = watched();
    policy.emit(opened('db'));
    policy.emit(opened('db', { from: 'open', to: 'half-open' }));
    expect(await scrape(register)).toEqual([
      'outlast_breaker_transitions_total{breaker="db",from="closed",to="open"} 1',
      'outlast_breaker_transitions_total{breaker="db",from="open",to="half-open"} 1',
      'outlast_breaker_state{breaker="db",state="closed"} 0',
      'outlast_breaker_state{breaker="db",state="open"} 0',
      'outlast_breaker_state{breaker="db",state="half-open"} 1',
      'outlast_breaker_state{breaker="db",state="isolated"} 0',
    ]);
  });

  it('histograms have the buckets that were asked for', async () => {
    const { clock, policy, register } = watched({
      buckets: { attempts: [1, 2], delaySeconds: [0.5, 1] },
    });
    await clock.runUntilSettled(policy.execute(failTimes([coded(RESET)], 1)));
    const buckets = (await register.metrics())
      .split('\n')
      .filter((line) => line.includes('_bucket{'));
    expect(buckets).toEqual([
      'outlast_operation_attempts_bucket{le="1",operation="db.read"} 0',
      'outlast_operation_attempts_bucket{le="2",operation="db.read"} 1',
      'outlast_operation_attempts_bucket{le="+Inf",operation="db.read"} 1',
      'outlast_retry_delay_seconds_bucket{le="0.5",operation="db.read"} 0',
      'outlast_retry_delay_seconds_bucket{le="1",operation="db.read"} 1',
      'outlast_retry_delay_seconds_bucket{le="+Inf",operation="db.read"} 1',
    ]);
  });

  it('successes: false leaves the fast path unwatched, and counts what fails', async () => {
    const emitter = new Emitter();
    const { close } = prometheusMetrics(emitter, { register: new Registry(), successes: false });
    expect([emitter.watched, emitter.has('retry')]).toEqual([false, true]);
    close();
    const { clock, policy, register } = watched({ successes: false });
    await clock.runUntilSettled(policy.execute(failTimes([coded(RESET)], 1)));
    expect(await scrape(register)).toEqual([
      'outlast_retries_total{operation="db.read",category="network"} 1',
      'outlast_retry_delay_seconds_sum{operation="db.read"} 1',
      'outlast_retry_delay_seconds_count{operation="db.read"} 1',
    ]);
  });
});

describe('several sources on one registry', () => {
  it('share the metrics, and close each for itself', async () => {
    const register = new Registry();
    const [a, b] = [bench({ operation: 'a' }), bench({ operation: 'b' })];
    const first = prometheusMetrics(a.policy, { register });
    prometheusMetrics(b.policy, { register });
    for (const { policy } of [a, b]) {
      await policy.execute(() => 1);
      policy.emit(opened('db'));
      policy.emit({ type: 'down', operation: 'pg', at, since: at, error: 1 });
    }
    const gauges = /state="open"|down/;
    expect(await scrape(register, /attempts_total/)).toEqual([
      'outlast_attempts_total{operation="a"} 1',
      'outlast_attempts_total{operation="b"} 1',
    ]);
    expect(await scrape(register, gauges)).toEqual([
      'outlast_breaker_state{breaker="db",state="open"} 2',
      'outlast_down{operation="pg"} 2',
    ]);
    first.close();
    first.close();
    for (const { policy } of [a, b]) await policy.execute(() => 1);
    expect(await scrape(register, /attempts_total/)).toEqual([
      'outlast_attempts_total{operation="a"} 1',
      'outlast_attempts_total{operation="b"} 2',
    ]);
    expect(await scrape(register, gauges)).toEqual([
      'outlast_breaker_state{breaker="db",state="open"} 1',
      'outlast_down{operation="pg"} 1',
    ]);
  });

  it('3.38 the last one to close takes the series of its breakers along', async () => {
    const { policy, register, close } = watched();
    policy.emit(opened('db'));
    policy.emit({ type: 'down', operation: 'pg', at, since: at, error: 1 });
    expect(await scrape(register, /state|down/)).toHaveLength(5);
    close();
    expect(await scrape(register, /state|down/)).toEqual([]);
    expect(await scrape(register, /transitions/)).toHaveLength(1);
  });

  it('have metrics of their own under another prefix, and after the registry was cleared', async () => {
    const register = new Registry();
    const { policy } = bench({ operation: 'op' });
    prometheusMetrics(policy, { register });
    prometheusMetrics(policy, { register, prefix: 'shop:' });
    await policy.execute(() => 1);
    expect(await scrape(register, /attempts_total/)).toEqual([
      'outlast_attempts_total{operation="op"} 1',
      'shop:attempts_total{operation="op"} 1',
    ]);
    register.clear();
    prometheusMetrics(policy, { register });
    await policy.execute(() => 1);
    expect(await scrape(register, /attempts_total/)).toEqual([
      'outlast_attempts_total{operation="op"} 1',
    ]);
  });

  it('may be of either format', async () => {
    const register = new Registry<OpenMetricsContentType>();
    register.setContentType(openMetricsContentType);
    const { policy } = bench({ operation: 'op' });
    prometheusMetrics(policy, { register });
    await policy.execute(() => 1);
    expect(await scrape(register, /attempts_total/)).toEqual([
      'outlast_attempts_total{operation="op"} 1',
    ]);
  });

  it('use the global registry where none is given', async () => {
    const { policy } = bench({ operation: 'op' });
    const { close } = prometheusMetrics(policy);
    await policy.execute(() => 1);
    expect(await scrape(globalRegister, /attempts_total/)).toEqual([
      'outlast_attempts_total{operation="op"} 1',
    ]);
    close();
    globalRegister.clear();
  });

  it('cannot disagree about buckets or maxOperations', () => {
    const register = new Registry();
    const { policy } = bench();
    prometheusMetrics(policy, { register, maxOperations: 5, buckets: { attempts: [1, 2] } });
    prometheusMetrics(policy, { register, maxOperations: 5, buckets: { attempts: [1, 2] } });
    expect(() => prometheusMetrics(policy, { register, maxOperations: 6 })).toThrow(
      'maxOperations is 5 for the outlast_ metrics of this registry already, so it cannot be 6.',
    );
    expect(() => prometheusMetrics(policy, { register, buckets: { attempts: [1, 3] } })).toThrow(
      /attempts is 1,2 for/,
    );
  });

  it("a name that is somebody else's is refused, and nothing is left behind", () => {
    const register = new Registry();
    new Counter({ name: 'outlast_down', help: 'mine', registers: [register] });
    const { policy } = bench();
    expect(() => prometheusMetrics(policy, { register })).toThrow(
      'prefix gives outlast_down, a name that another metric of the registry has.',
    );
    expect(register.getMetricsAsArray()).toHaveLength(1);
  });

  it('a source that refuses a type is left as it was', () => {
    const off = vi.fn();
    const on = vi.fn((type: PolicyEventType) => {
      if (type === 'breaker') throw new Error('no breakers here');
      return off;
    });
    const register = new Registry();
    expect(() => prometheusMetrics({ on } as EventSource, { register })).toThrow(
      'no breakers here',
    );
    expect(off).toHaveBeenCalledTimes(on.mock.calls.length - 1);
    expect(off).toHaveBeenCalledTimes(6);
  });
});

describe('labels', () => {
  it('3.38 are so many and no more: further operations are other', async () => {
    const { policy, register } = watched({ maxOperations: 2 });
    for (const operation of ['a', 'b', 'c', 'd', 'a']) await policy.execute(() => 1, { operation });
    expect(await scrape(register, /attempts_total/)).toEqual([
      'outlast_attempts_total{operation="a"} 2',
      'outlast_attempts_total{operation="b"} 1',
      'outlast_attempts_total{operation="other"} 2',
    ]);
  });

  it('are 100 operations by default', async () => {
    const { policy, register } = watched();
    for (let i = 0; i < 250; i++) await policy.execute(() => 1, { operation: `user:${i}` });
    const lines = await scrape(register, /attempts_total/);
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toBe('outlast_attempts_total{operation="other"} 150');
  });

  it('of breakers count by themselves; one state does not stand for many', async () => {
    const { policy, register } = watched({ maxOperations: 1 });
    await policy.execute(() => 1);
    policy.emit(opened('x'));
    policy.emit(opened('y'));
    expect(await scrape(register, /breaker/)).toEqual([
      'outlast_breaker_transitions_total{breaker="x",from="closed",to="open"} 1',
      'outlast_breaker_transitions_total{breaker="other",from="closed",to="open"} 1',
      'outlast_breaker_state{breaker="x",state="closed"} 0',
      'outlast_breaker_state{breaker="x",state="open"} 1',
      'outlast_breaker_state{breaker="x",state="half-open"} 0',
      'outlast_breaker_state{breaker="x",state="isolated"} 0',
    ]);
  });

  it('3.38 are one where only the secrets differ, however many these are', async () => {
    const { policy, register } = watched({ maxOperations: 2 });
    for (let i = 0; i < 5; i++) await policy.execute(() => 1, { operation: `GET /?token=${i}` });
    await policy.execute(() => 1, { operation: 'b' });
    expect(await scrape(register, /attempts_total/)).toEqual([
      'outlast_attempts_total{operation="GET /?token=***"} 5',
      'outlast_attempts_total{operation="b"} 1',
    ]);
  });

  it('cost no more memory than there are labels', () => {
    const bound = new LabelBound(2);
    for (let i = 0; i < 100; i++) bound.of(`token=${i}`);
    for (let i = 0; i < 100; i++) bound.of(`user:${i}`);
    const held = Object.values(bound).map((value) => (value instanceof Map ? value.size : 0));
    expect(Math.max(...held)).toBe(2);
  });

  it("of a classifier's own making are bounded too", async () => {
    let count = 0;
    const register = new Registry();
    const { clock, policy } = bench({
      classify: () => ({
        category: `c${count++}` as never,
        transient: true,
        outcome: 'not-applied',
      }),
      maxAttempts: 100,
    });
    prometheusMetrics(policy, { register });
    await clock.runUntilSettled(policy.execute(failTimes(99, 1)));
    expect(await scrape(register, /retries_total/)).toHaveLength(33);
  });

  it('what is no text is unknown', async () => {
    const { policy, register } = watched();
    policy.emit({ ...opened('x'), operation: { toString: 1 } as never });
    expect(await scrape(register, /transitions/)).toEqual([
      'outlast_breaker_transitions_total{breaker="unknown",from="closed",to="open"} 1',
    ]);
  });

  it('carry no password', async () => {
    const canary = 'C4n4ry-s3cret';
    const register = new Registry();
    for (const text of leaks(canary)) {
      const { clock, policy } = bench({ operation: text });
      prometheusMetrics(policy, { register });
      const error = Object.assign(new Error(text), { name: text, code: text });
      await clock.runUntilSettled(settled(policy.execute(failTimes([error, error, error], 1))));
      policy.emit(opened(text, { reason: text }));
      policy.emit({ type: 'store', operation: text, at, action: 'load', error });
      policy.emit({ type: 'down', operation: text, at, since: at, error });
    }
    const text = await register.metrics();
    expect(text).toContain('app:***@db.internal');
    expect(text).not.toContain(canary);
  });
});

describe('options', () => {
  it.each([
    [{ register: {} }, /register must be a Registry of prom-client; got an object/],
    [{ prefix: '9-' }, /prefix must be the beginning of a metric name/],
    [{ prefix: 7 }, /prefix must be/],
    [{ maxOperations: 0 }, /maxOperations must be a whole number, 1 or more; got 0/],
    [{ successes: 1 }, /successes must be true or false/],
    [{ maxOperation: 1 }, /Did you mean maxOperations\?/],
    [{ buckets: { delays: [1] } }, /buckets.delays is not an option/],
    [{ buckets: { attempts: [2, 1] } }, /buckets.attempts must be a list of ascending numbers/],
    [{ buckets: { attempts: [] } }, /buckets.attempts must be/],
    [{ buckets: { delaySeconds: 'x' } }, /buckets.delaySeconds must be/],
    [{ buckets: 1 }, /buckets must be an object of options/],
  ])('%o are refused', (options, says) => {
    const { policy } = bench();
    expect(() => prometheusMetrics(policy, options as PrometheusOptions)).toThrow(says);
  });

  it('that are undefined count as not given', async () => {
    const register = new Registry();
    const { policy } = bench();
    const none = { prefix: undefined, maxOperations: undefined, buckets: { attempts: undefined } };
    prometheusMetrics(policy, { register, ...(none as object) });
    await policy.execute(() => 1);
    expect(await scrape(register, /attempts_total/)).toHaveLength(1);
  });
});
