import * as core from '@outlast/core-retry';
import { afterEach, describe, expect, it, vi } from 'vitest';

type Guard = (error: unknown) => boolean;
const cause = new Error('below');

// Every error class of the package: how it is made, its code, its guard, and what its message must say.
const TABLE: Readonly<
  Record<string, readonly [() => core.OutlastError, string, Guard | undefined, RegExp]>
> = {
  OutlastError: [
    () => new core.OutlastError('OUTLAST_X', 'text'),
    'OUTLAST_X',
    undefined,
    /^text$/,
  ],
  DeadlineExceededError: [
    () => new core.DeadlineExceededError('pg.query', 500),
    'OUTLAST_DEADLINE_EXCEEDED',
    core.isDeadlineExceededError,
    /^pg\.query did not finish within its totalTimeoutMs of 500 ms\. Allow it more time/,
  ],
  AttemptTimeoutError: [
    () => new core.AttemptTimeoutError('pg.query', 2, 500),
    'OUTLAST_ATTEMPT_TIMEOUT',
    core.isAttemptTimeoutError,
    /^Attempt 2 of pg\.query took longer than its attemptTimeoutMs of 500 ms\.$/,
  ],
  OutcomeUnknownError: [
    () => new core.OutcomeUnknownError('Nobody knows.', { cause }),
    'OUTLAST_OUTCOME_UNKNOWN',
    core.isOutcomeUnknownError,
    /^Nobody knows\.$/,
  ],
  CommitOutcomeUnknownError: [
    () => new core.CommitOutcomeUnknownError('another server answers', { cause }),
    'OUTLAST_COMMIT_OUTCOME_UNKNOWN',
    core.isCommitOutcomeUnknownError,
    /COMMIT was lost .* another server answers\. Look for the transaction's effect before/,
  ],
  OptionError: [
    () => new core.OptionError('retry.jitter', 'must be less.'),
    'OUTLAST_OPTION',
    core.isOptionError,
    /^retry\.jitter must be less\.$/,
  ],
  CircuitOpenError: [
    () => new core.CircuitOpenError('payments:charge', 1500),
    'OUTLAST_CIRCUIT_OPEN',
    core.isCircuitOpenError,
    /^The circuit breaker 'payments:charge' is open, so the operation was not called\. Ask again/,
  ],
  BulkheadFullError: [
    () => new core.BulkheadFullError(10, 5),
    'OUTLAST_BULKHEAD_FULL',
    core.isBulkheadFullError,
    /^10 operations are under way and 5 wait, which is all that this bulkhead allows\. Allow more/,
  ],
  ClosedError: [
    () => new core.ClosedError('The pool', { cause }),
    'OUTLAST_CLOSED',
    core.isClosedError,
    /^The pool was closed/,
  ],
};

const guards = Object.entries(core).filter(([name]) => /^is\w+Error$/.test(name)) as [
  string,
  Guard,
][];

describe('our errors', () => {
  it('every class and every guard that is exported is in the table', () => {
    const classes = Object.entries(core)
      .filter(([, value]) => typeof value === 'function' && value.prototype instanceof Error)
      .map(([name]) => name);
    expect(Object.keys(TABLE).toSorted()).toEqual(classes.toSorted());
    const tested = Object.values(TABLE).flatMap(([, , guard]) => guard ?? []);
    const specific = guards.filter(([name]) => !/isOutlastError|isProgrammersError/.test(name));
    expect(new Set(specific.map(([, guard]) => guard))).toEqual(new Set(tested));
  });

  it.each(Object.entries(TABLE))('%s', (name, [make, code, guard, message]) => {
    const error = make();
    expect(error).toBeInstanceOf(Error);
    expect(error).toBeInstanceOf(core.OutlastError);
    expect([error.name, error.code]).toEqual([name, code]);
    expect(error.message).toMatch(message);
    expect(String(error)).toBe(`${name}: ${error.message}`);
    // Made a thousand times a second in an outage: the one error without a stack.
    const place = name === 'CircuitOpenError' ? '' : 'errors.test.ts';
    expect(error.stack).toContain(place);
    expect(error.stack?.includes('errors.test.ts')).toBe(place !== '');
    expect(core.isOutlastError(error)).toBe(true);
    for (const [, other] of guards.filter(([each]) => each !== 'isOutlastError')) {
      expect(other(error)).toBe(other === guard);
    }
  });

  it('carry a cause where they take one', () => {
    for (const name of ['OutcomeUnknownError', 'CommitOutcomeUnknownError', 'ClosedError']) {
      expect(TABLE[name]?.[0]().cause).toBe(cause);
    }
    expect('cause' in new core.OptionError('a', 'b')).toBe(false);
  });

  it('messages are redacted', () => {
    expect(new core.OutcomeUnknownError('of postgres://u:hunter2@h/db').message).not.toContain(
      'hunter2',
    );
  });

  it.each([null, undefined, 'text', 5, {}, new Error('x'), { code: 'OUTLAST_CLOSED' }])(
    '%s is none of them',
    (value) => {
      for (const [, guard] of guards) expect(guard(value)).toBe(false);
    },
  );

  it('an error of another library with our code is none of ours', () => {
    const error = Object.assign(new Error('x'), { code: 'OUTLAST_CLOSED' });
    expect(core.isClosedError(error)).toBe(false);
  });
});

describe('guards of two copies of the package', () => {
  afterEach(() => {
    vi.resetModules();
  });

  it("know each other's errors", async () => {
    vi.resetModules();
    const other = await import('../src/index.js');
    const error = new other.ClosedError('It');
    expect(error instanceof core.ClosedError).toBe(false);
    expect(core.isClosedError(error)).toBe(true);
    expect(core.isOutlastError(error)).toBe(true);
    expect(core.isOptionError(error)).toBe(false);
  });
});
