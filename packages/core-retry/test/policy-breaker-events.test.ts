import { RetryPolicy } from '@outlast/core-retry';
import { failTimes } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { guarded, reset } from './guarded.js';
import { coded, RESET, rejection } from './helpers.js';

describe('what is taken for a breaker', () => {
  it.each([
    [{ breaker: {} }],
    [{ breaker: { admit: () => 1, refusal: () => new Error('x') } }],
    [{ breaker: { failureThreshold: 5 } }],
    [{ breaker: true }],
    [{ bulkhead: { tryEnter: () => true, leave: () => {} } }],
    [{ bulkhead: { maxConcurrent: 1 } }],
  ])('%j is not, and is refused: by the policy, and by a call as a rejection', async (options) => {
    const says = /^(breaker|bulkhead) must be a (CircuitBreaker|Bulkhead), or false; got/;
    expect(() => new RetryPolicy(options as never)).toThrow(says);
    const end = new RetryPolicy().execute(() => 'v', options as never);
    expect(await rejection(end)).toMatchObject({ message: expect.stringMatching(says) });
  });
});

describe('listening', () => {
  it("policy.on('breaker') and on('store') hear the breaker, until they stop", async () => {
    const { policy, breaker, run } = guarded({ failureThreshold: 1 });
    const seen: unknown[] = [];
    const offs = [
      policy.on('breaker', ({ operation, from, to }) => seen.push([operation, from, to])),
      policy.on('store', ({ action }) => seen.push(action)),
    ];
    await run(reset());
    breaker.reportStore('load', new Error('down'));
    expect(seen).toEqual([['pg', 'closed', 'open'], 'load']);
    for (const off of offs) off();
    breaker.reset();
    breaker.reportStore('load', new Error('down'));
    expect(seen).toHaveLength(2);
  });

  it('a breaker that two policies share tells each of them once', async () => {
    const { policy, breaker, clock, run } = guarded({ failureThreshold: 1 });
    const other = new RetryPolicy({ breaker, clock });
    const heard = [vi.fn(), vi.fn()];
    policy.on('breaker', heard[0] as () => void);
    other.on('breaker', heard[1] as () => void);
    await run(reset());
    expect(heard.map((fn) => fn.mock.calls.length)).toEqual([1, 1]);
  });

  it('without a breaker nothing is heard, and nothing is wrong', () => {
    const listener = vi.fn();
    const off = new RetryPolicy().on('breaker', listener);
    off();
    expect(listener).not.toHaveBeenCalled();
  });

  it('a logger hears of the breaker once, however many policies share the two', async () => {
    const lines: string[] = [];
    const note = (line: string) => lines.push(line);
    const logger = { debug: note, info: note, warn: note, error: note };
    const { breaker, clock } = guarded({ failureThreshold: 1 });
    for (let i = 0; i < 3; i++) new RetryPolicy({ breaker, clock, logger });
    breaker.acquire().failure(coded(RESET));
    breaker.reportStore('save', new Error('disk full'));
    expect(lines).toEqual([
      'Circuit breaker opened for pg: 1 consecutive failures',
      'Breaker store failed to save for pg, going on without it',
    ]);
  });

  it('a refusal is logged as it is told', async () => {
    const lines: unknown[] = [];
    const logger = {
      debug: (line: string, fields: object) => lines.push([line, fields]),
      info: vi.fn(),
      warn: vi.fn(),
      error: vi.fn(),
    };
    const { breaker, policy } = guarded({ failureThreshold: 1 }, { logger, operation: 'read' });
    breaker.acquire().failure(coded(RESET));
    await rejection(policy.execute(failTimes(0, 'v')));
    expect(lines).toMatchObject([
      [
        'Circuit breaker is open, no further attempt for read',
        { operation: 'read', attempts: 0, reason: 'circuit-open' },
      ],
    ]);
    expect(logger.error).not.toHaveBeenCalled();
  });
});
