import { AsyncResource } from 'node:async_hooks';
import { context, type Meter, metrics, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { AggregationTemporality, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import {
  type Clock,
  type PolicyEvent,
  type PolicyEventType,
  RetryPolicy,
} from '@outlast/core-retry';
import { type OpenTelemetryOptions, openTelemetry } from '@outlast/core-retry/opentelemetry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EventSource } from '../src/event-source.js';
import { Emitter } from '../src/events.js';
import { bench, coded, REFUSED, RESET, settled } from './helpers.js';
import { hostileErrors, leaks } from './hostile.js';

const at = 0;
const canary = 'C4n4ry-s3cret';

/** Collects when it is told to, and never by itself. */
class ManualReader extends MetricReader {
  protected async onForceFlush(): Promise<void> {}
  protected async onShutdown(): Promise<void> {}
}

interface Metered {
  readonly meter: Meter;
  readonly provider: MeterProvider;
  /** `name{attribute=value} value` for every point; a histogram as `count/sum`. */
  readonly read: (like?: RegExp) => Promise<string[]>;
  /** What is known of an instrument beside its points. */
  readonly describe: () => Promise<Record<string, string>>;
}

function metered(): Metered {
  const reader = new ManualReader({
    aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE,
  });
  const provider = new MeterProvider({ readers: [reader] });
  const collected = async () => {
    const { resourceMetrics, errors } = await reader.collect();
    expect(errors).toEqual([]);
    return resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
  };
  return {
    meter: provider.getMeter('test'),
    provider,
    read: async (like = /./) =>
      (await collected())
        .flatMap(({ descriptor, dataPoints }) =>
          dataPoints.map(({ attributes, value }) => {
            const shown =
              typeof value === 'number'
                ? value
                : `${value.count}/${'sum' in value ? value.sum : ''}`;
            const pairs = Object.entries(attributes).map(([key, is]) => `${key}=${is}`);
            return `${descriptor.name}{${pairs.join(',')}} ${shown}`;
          }),
        )
        .filter((line) => like.test(line)),
    describe: async () =>
      Object.fromEntries(
        (await collected()).map(({ descriptor }) => [descriptor.name, descriptor.unit]),
      ),
  };
}

const spans = new InMemorySpanExporter();
const tracing = new TracerProvider({
  spanProcessors: [new SimpleSpanProcessor({ exporter: spans })],
});
const tracer = tracing.getTracer('test');

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(tracing);
});
afterAll(() => {
  context.disable();
  trace.disable();
});
beforeEach(() => spans.reset());

/** Runs something inside a span. */
function inSpan<T>(name: string, work: () => Promise<T>): Promise<T> {
  return tracer.startActiveSpan(name, async (span) => {
    try {
      return await work();
    } finally {
      span.end();
    }
  });
}

/** A clock whose timers fire in the context that set them, as real ones do. */
function withContexts(clock: ManualClock): Clock {
  return {
    now: () => clock.now(),
    wallNow: () => clock.wallNow(),
    setTimeout: (fn, ms) => clock.setTimeout(AsyncResource.bind(fn), ms),
  };
}

/** The events of a finished span, as [name, attributes]. */
function eventsOf(name: string): unknown[] {
  const span = spans.getFinishedSpans().find((one) => one.name === name);
  if (span === undefined) throw new Error(`no span ${name}`);
  return span.events.map((event) => [event.name, event.attributes]);
}

const opened = (operation: string, more: object = {}): PolicyEvent => ({
  type: 'breaker',
  operation,
  at,
  from: 'closed',
  to: 'open',
  reason: '5 consecutive failures',
  ...more,
});

describe('metrics', () => {
  it('count attempts, retries, ends, delays', async () => {
    const { meter, read } = metered();
    const { clock, policy } = bench({ operation: 'db.read' });
    openTelemetry(policy, { meter });
    await clock.runUntilSettled(policy.execute(failTimes([coded(REFUSED), coded(RESET)], 1)));
    await policy.execute(() => 1);
    const lost = [coded(REFUSED), coded(REFUSED), coded(RESET)];
    await clock.runUntilSettled(settled(policy.execute(failTimes(lost, 1))));
    expect(await read()).toEqual([
      'outlast.attempts{outlast.operation=db.read} 7',
      'outlast.retries{outlast.operation=db.read,error.type=network} 4',
      'outlast.operations{outlast.operation=db.read} 2',
      'outlast.operations{outlast.operation=db.read,outlast.reason=exhausted,error.type=network} 1',
      'outlast.outcomes_unknown{outlast.operation=db.read} 1',
      'outlast.operation.attempts{outlast.operation=db.read} 3/7',
      'outlast.retry.delay{outlast.operation=db.read} 4/6',
    ]);
  });

  it('have the units of the semantic conventions', async () => {
    const { meter, describe } = metered();
    const { clock, policy } = bench();
    openTelemetry(policy, { meter });
    await clock.runUntilSettled(
      settled(policy.execute(failTimes([coded(RESET), new TypeError()], 1))),
    );
    policy.emit(opened('db'));
    policy.emit({ type: 'budget', operation: 'op', at, balance: 0, denied: 1 });
    policy.emit({ type: 'store', operation: 'db', at, action: 'save', error: 1 });
    policy.emit({ type: 'down', operation: 'pg', at, since: at, error: 1 });
    expect(await describe()).toEqual({
      'outlast.attempts': '{attempt}',
      'outlast.retries': '{retry}',
      'outlast.operations': '{operation}',
      'outlast.outcomes_unknown': '{operation}',
      'outlast.budget.denials': '{retry}',
      'outlast.breaker.transitions': '{transition}',
      'outlast.breaker.state': '{breaker}',
      'outlast.store.failures': '{failure}',
      'outlast.operation.attempts': '{attempt}',
      'outlast.retry.delay': 's',
      'outlast.down': '{client}',
    });
  });

  it('of breakers, stores, budgets and outages; what is closed is observed no more', async () => {
    const { meter, read } = metered();
    const [a, b] = [bench(), bench()];
    const first = openTelemetry(a.policy, { meter });
    openTelemetry(b.policy, { meter });
    for (const { policy } of [a, b]) {
      policy.emit(opened('db'));
      policy.emit({ type: 'budget', operation: 'op', at, balance: 0, denied: 1 });
      policy.emit({ type: 'store', operation: 'db', at, action: 'save', error: 1 });
      policy.emit({ type: 'down', operation: 'pg', at, since: at, error: 1 });
    }
    b.policy.emit({ type: 'up', operation: 'pg', at, downMs: 1 });
    b.policy.emit(opened('db', { from: 'open', to: 'half-open' }));
    const name = 'outlast.breaker.name=db';
    const changes = `outlast.breaker.transitions{${name},outlast.breaker.state`;
    const counts = [
      'outlast.budget.denials{outlast.operation=op} 2',
      `${changes}=open,outlast.breaker.previous_state=closed} 2`,
      `${changes}=half-open,outlast.breaker.previous_state=open} 1`,
      `outlast.store.failures{${name},outlast.store.action=save} 2`,
    ];
    const states = (closed: number, open: number, half: number, isolated: number): string[] =>
      Object.entries({ closed, open, 'half-open': half, isolated }).map(
        ([state, count]) =>
          `outlast.breaker.state{${name},outlast.breaker.state=${state}} ${count}`,
      );
    const down = 'outlast.down{outlast.operation=pg}';
    expect((await read()).sort()).toEqual([...counts, ...states(0, 1, 1, 0), `${down} 1`].sort());
    first.close();
    first.close();
    expect((await read()).sort()).toEqual([...counts, ...states(0, 0, 1, 0), `${down} 0`].sort());
    a.policy.emit(opened('db'));
    expect((await read(/transitions/)).sort()).toEqual(counts.slice(1, 3).sort());
  });

  it('3.38 have bounded attributes', async () => {
    const { meter, read } = metered();
    const { policy } = bench();
    openTelemetry(policy, { meter, maxOperations: 2 });
    for (const operation of ['a', 'b', 'c', 'd']) {
      await policy.execute(() => 1, { operation });
      policy.emit(opened(operation));
    }
    expect(await read(/attempts\{.*[^/\d]\d$|state=open\} 1/)).toEqual([
      'outlast.breaker.state{outlast.breaker.name=a,outlast.breaker.state=open} 1',
      'outlast.breaker.state{outlast.breaker.name=b,outlast.breaker.state=open} 1',
      'outlast.attempts{outlast.operation=a} 1',
      'outlast.attempts{outlast.operation=b} 1',
      'outlast.attempts{outlast.operation=other} 2',
    ]);
    expect(await read(/state=open.*other|other.*state=open\}/)).toEqual([]);
  });

  it('go to the global meter where none is given, and nowhere with meter: false', async () => {
    const { provider, read } = metered();
    metrics.setGlobalMeterProvider(provider);
    const { policy } = bench({ operation: 'op' });
    openTelemetry(policy, { meter: false });
    await policy.execute(() => 1);
    expect(await read()).toEqual([]);
    openTelemetry(policy);
    await policy.execute(() => 1);
    expect(await read(/outlast.attempts/)).toEqual(['outlast.attempts{outlast.operation=op} 1']);
    metrics.disable();
  });

  it('successes: false leaves the fast path unwatched, and counts what fails', async () => {
    const { meter, read } = metered();
    const emitter = new Emitter();
    openTelemetry(emitter, { meter, successes: false });
    expect([emitter.watched, emitter.has('retry')]).toEqual([false, true]);
    const { clock, policy } = bench({ operation: 'op' });
    openTelemetry(policy, { meter, successes: false });
    await clock.runUntilSettled(policy.execute(failTimes([coded(RESET)], 1)));
    expect(await read()).toEqual([
      'outlast.retries{outlast.operation=op,error.type=network} 1',
      'outlast.retry.delay{outlast.operation=op} 1/1',
    ]);
  });
});

describe('events of the active span', () => {
  it('a retry and the end, with the delay in seconds', async () => {
    const { clock, policy } = bench({ operation: 'db.read', maxAttempts: 2, baseDelayMs: 250 });
    const { close } = openTelemetry(policy, { meter: false });
    const work = inSpan('request', () =>
      settled(policy.execute(failTimes([coded(RESET), coded(RESET)], 1))),
    );
    await clock.runUntilSettled(work);
    const exception = { 'exception.type': 'Error', 'exception.message': 'scripted ECONNRESET' };
    const ended = {
      'outlast.operation': 'db.read',
      'outlast.attempts': 2,
      'outlast.reason': 'exhausted',
    };
    expect(eventsOf('request')).toEqual([
      [
        'outlast.retry',
        {
          'outlast.operation': 'db.read',
          'outlast.attempt': 1,
          'outlast.max_attempts': 2,
          'outlast.retry.delay': 0.25,
          'error.type': 'network',
          ...exception,
        },
      ],
      ['outlast.exhausted', { ...ended, 'error.type': 'network', ...exception }],
      ['outlast.outcome_unknown', { ...ended, ...exception }],
    ]);
    close();
    await clock.runUntilSettled(
      inSpan('later', () => policy.execute(failTimes([coded(RESET)], 1))),
    );
    expect(eventsOf('later')).toEqual([]);
  });

  it('a breaker that changes, and a policy without a limit', async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    const policy = new RetryPolicy({ clock, maxAttempts: Infinity, signal, operation: 'op' });
    openTelemetry(policy, { meter: false });
    await clock.runUntilSettled(
      inSpan('request', async () => {
        policy.emit(opened('db'));
        return policy.execute(failTimes(1, 1));
      }),
    );
    expect(eventsOf('request')).toMatchObject([
      [
        'outlast.breaker',
        {
          'outlast.breaker.name': 'db',
          'outlast.breaker.state': 'open',
          'outlast.breaker.previous_state': 'closed',
          'outlast.breaker.reason': '5 consecutive failures',
        },
      ],
      ['outlast.retry', { 'outlast.attempt': 1 }],
    ]);
    expect(eventsOf('request')[1]).not.toHaveProperty([1, 'outlast.max_attempts']);
  });

  it('concurrent operations each tell their own span', async () => {
    const { clock, policy } = bench();
    openTelemetry(policy, { meter: false });
    const run = (name: string) =>
      inSpan(name, () => policy.execute(failTimes([coded(name)], 1), { operation: name }));
    await clock.runUntilSettled(Promise.all([run('a'), run('b')]));
    for (const name of ['a', 'b']) {
      expect(eventsOf(name)).toMatchObject([['outlast.retry', { 'outlast.operation': name }]]);
    }
  });

  it("a deadline is told to no span, for it comes in another call's context", async () => {
    const clock = new ManualClock();
    const policy = new RetryPolicy({ clock: withContexts(clock), totalTimeoutMs: 100 });
    openTelemetry(policy, { meter: false });
    const seen: unknown[] = [];
    policy.on('exhausted', ({ operation }) => {
      const span = trace.getActiveSpan() as unknown as { readonly name: string } | undefined;
      seen.push([operation, span?.name]);
    });
    const run = (name: string) =>
      inSpan(name, () => settled(policy.execute(() => new Promise(() => {}), { operation: name })));
    const both = Promise.all([run('a'), run('b')]);
    await clock.runUntilSettled(both);
    // Why: if this fails, deadlines know their callers by now and may be told to their spans.
    expect(seen).toEqual([
      ['a', 'a'],
      ['b', 'a'],
    ]);
    expect([eventsOf('a'), eventsOf('b')]).toEqual([[], []]);
  });

  it('none without a span, none on one that does not record, none with spanEvents: false', async () => {
    const { clock, policy } = bench();
    openTelemetry(policy, { meter: false, spanEvents: false });
    await clock.runUntilSettled(inSpan('off', () => policy.execute(failTimes([coded(RESET)], 1))));
    expect(eventsOf('off')).toEqual([]);
    const other = bench();
    openTelemetry(other.policy, { meter: false });
    expect(await other.clock.runUntilSettled(other.policy.execute(failTimes(1, 'v')))).toBe('v');
    const asleep = trace.wrapSpanContext({
      traceId: '1'.repeat(32),
      spanId: '1'.repeat(16),
      traceFlags: 0,
    });
    const addEvent = vi.spyOn(asleep, 'addEvent');
    const work = context.with(trace.setSpan(context.active(), asleep), () =>
      other.policy.execute(failTimes(1, 'v')),
    );
    expect(await other.clock.runUntilSettled(work)).toBe('v');
    expect(addEvent).not.toHaveBeenCalled();
  });

  it('hostile errors are told as well as they can be', async () => {
    const { policy } = bench();
    openTelemetry(policy, { meter: false });
    const errors = hostileErrors();
    await inSpan('request', async () => {
      for (const error of errors) {
        policy.emit({
          type: 'outcomeUnknown',
          operation: 'op',
          at,
          attempts: 1,
          reason: 'permanent',
          error,
        });
      }
    });
    expect(eventsOf('request')).toHaveLength(errors.length);
  });
});

it('no attribute carries a password', async () => {
  const { meter, read } = metered();
  await inSpan('request', async () => {
    for (const text of leaks(canary)) {
      const { clock, policy } = bench({ operation: text });
      openTelemetry(policy, { meter });
      const error = Object.assign(new Error(text), { name: text, code: text });
      await clock.runUntilSettled(settled(policy.execute(failTimes([error, error, text], 1))));
      policy.emit(opened(text, { reason: text }));
      policy.emit({ type: 'store', operation: text, at, action: 'load', error });
      policy.emit({ type: 'down', operation: text, at, since: at, error });
    }
  });
  const told = JSON.stringify([eventsOf('request'), await read()]);
  expect(told).toContain('app:***@db.internal');
  expect(told).not.toContain(canary);
});

describe('options', () => {
  it.each([
    [{ meter: {} }, /meter must be a Meter, or false; got an object/],
    [{ spanEvents: 1 }, /spanEvents must be true or false/],
    [{ successes: 1 }, /successes must be true or false/],
    [{ maxOperations: 1.5 }, /maxOperations must be a whole number, 1 or more/],
    [{ maxOperation: 1 }, /Did you mean maxOperations\?/],
  ])('%j are refused', (options, says) => {
    expect(() => openTelemetry(bench().policy, options as OpenTelemetryOptions)).toThrow(says);
  });

  it('a meter has one maxOperations', () => {
    const { meter } = metered();
    openTelemetry(bench().policy, { meter, maxOperations: 5 });
    openTelemetry(bench().policy, { meter, maxOperations: 5 });
    openTelemetry(bench().policy, { meter });
    expect(() => openTelemetry(bench().policy, { meter, maxOperations: 6 })).toThrow(
      'maxOperations is 5 for this meter already, so it cannot be 6.',
    );
  });

  it('a source that refuses a type is left as it was', async () => {
    const { meter, read } = metered();
    const off = vi.fn();
    const on = vi.fn((type: PolicyEventType) => {
      if (type === 'up') throw new Error('nothing comes up here');
      return off;
    });
    expect(() => openTelemetry({ on } as EventSource, { meter })).toThrow('nothing comes up here');
    expect(off).toHaveBeenCalledTimes(on.mock.calls.length - 1);
    expect(off).toHaveBeenCalledTimes(9);
    expect(await read()).toEqual([]);
  });
});
