import {
  AttemptTimeoutError,
  type Category,
  ClosedError,
  CommitOutcomeUnknownError,
  classifyError,
  classifySystemError,
  DeadlineExceededError,
  type Failure,
  isProgrammersError,
  OptionError,
  type Outcome,
  OutcomeUnknownError,
  OutlastError,
  type Phase,
} from '@outlast/core-retry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SYSTEM_CODES } from '../src/system-codes.js';
import { coded } from './helpers.js';

const PHASES: readonly Phase[] = ['acquire', 'connect', 'sent', 'commit'];

// The verdict in the phase `sent`.
const CODES: Readonly<Record<string, readonly [Category, boolean, Outcome]>> = {
  ECONNREFUSED: ['network', true, 'not-applied'],
  ENOTFOUND: ['network', true, 'not-applied'],
  EAI_AGAIN: ['network', true, 'not-applied'],
  EAI_FAIL: ['network', true, 'not-applied'],
  EAI_NODATA: ['network', true, 'not-applied'],
  ESERVFAIL: ['network', true, 'not-applied'],
  ETIMEOUT: ['timeout', true, 'unknown'],
  EHOSTDOWN: ['network', true, 'not-applied'],
  EADDRNOTAVAIL: ['network', true, 'not-applied'],
  UND_ERR_CONNECT_TIMEOUT: ['timeout', true, 'not-applied'],
  EHOSTUNREACH: ['network', true, 'unknown'],
  ENETUNREACH: ['network', true, 'unknown'],
  ECONNRESET: ['network', true, 'unknown'],
  ECONNABORTED: ['network', true, 'unknown'],
  ENETDOWN: ['network', true, 'unknown'],
  ENETRESET: ['network', true, 'unknown'],
  ENOTCONN: ['network', true, 'unknown'],
  EPIPE: ['network', true, 'unknown'],
  EPROTO: ['network', true, 'unknown'],
  UND_ERR_SOCKET: ['network', true, 'unknown'],
  UND_ERR_HEADERS_TIMEOUT: ['timeout', true, 'unknown'],
  UND_ERR_BODY_TIMEOUT: ['timeout', true, 'unknown'],
  ERR_STREAM_PREMATURE_CLOSE: ['network', true, 'unknown'],
  ERR_SOCKET_CLOSED: ['network', true, 'unknown'],
  ETIMEDOUT: ['timeout', true, 'unknown'],
  ESOCKETTIMEDOUT: ['timeout', true, 'unknown'],
  ERR_SOCKET_CONNECTION_TIMEOUT: ['timeout', true, 'not-applied'],
  EBUSY: ['unavailable', true, 'not-applied'],
  EAGAIN: ['unavailable', true, 'not-applied'],
  EMFILE: ['resource-exhausted', true, 'not-applied'],
  ENFILE: ['resource-exhausted', true, 'not-applied'],
  ENOBUFS: ['resource-exhausted', true, 'unknown'],
  ENOSPC: ['resource-exhausted', false, 'unknown'],
  EDQUOT: ['resource-exhausted', false, 'unknown'],
  ENOENT: ['not-found', false, 'not-applied'],
  ENOTDIR: ['not-found', false, 'not-applied'],
  EACCES: ['auth', false, 'not-applied'],
  EPERM: ['auth', false, 'not-applied'],
  EROFS: ['invalid', false, 'not-applied'],
  EISDIR: ['invalid', false, 'not-applied'],
  EINVAL: ['invalid', false, 'not-applied'],
  EEXIST: ['conflict', false, 'not-applied'],
  ENOTEMPTY: ['conflict', false, 'not-applied'],
};

describe('system codes', () => {
  it('has a row here for every code of the table', () => {
    expect(Object.keys(CODES).toSorted()).toEqual(Object.keys(SYSTEM_CODES).toSorted());
  });

  describe.each(Object.entries(CODES))('%s', (code, [category, transient, outcome]) => {
    it.each(['sent', 'commit'] as const)('in phase %s', (phase) => {
      expect(classifySystemError(coded(code), phase)).toEqual({
        category,
        transient,
        outcome,
        code,
      });
      expect(classifyError(coded(code), phase)).toEqual({ category, transient, outcome, code });
    });

    it.each(['acquire', 'connect'] as const)('in phase %s nothing was sent', (phase) => {
      const expected = { category, transient, outcome: 'not-applied', code };
      expect(classifySystemError(coded(code), phase)).toEqual(expected);
    });
  });

  it('the system call connect means that nothing was sent, whatever the phase', () => {
    const error = coded('ETIMEDOUT', { syscall: 'connect' });
    expect(classifySystemError(error)?.outcome).toBe('not-applied');
    expect(classifySystemError(coded('ETIMEDOUT', { syscall: 'read' }))?.outcome).toBe('unknown');
  });

  it.each([undefined, 42, 'ENOPE', '', 'constructor', '__proto__', 'toString'])(
    'code %s is none of them',
    (code) => {
      expect(classifySystemError(Object.assign(new Error('x'), { code }))).toBeUndefined();
    },
  );

  it('a mistyped phase default is sent', () => {
    expect(classifySystemError(coded('ECONNRESET'))).toEqual(
      classifySystemError(coded('ECONNRESET'), 'sent'),
    );
  });
});

describe('AggregateError of a host with several addresses', () => {
  const connect = (code: string) => coded(code, { syscall: 'connect' });

  it('is read through its errors', () => {
    const error = new AggregateError([connect('ECONNREFUSED'), connect('ECONNREFUSED')]);
    expect(classifyError(error, 'sent')).toEqual({
      category: 'network',
      transient: true,
      outcome: 'not-applied',
      code: 'ECONNREFUSED',
    });
  });

  it('as Node makes it (own code, and the system call on its errors only) was never sent', () => {
    const errors = [connect('ETIMEDOUT'), connect('ENETUNREACH')];
    const error = Object.assign(new AggregateError(errors), { code: 'ETIMEDOUT' });
    expect(classifyError(error, 'sent')).toMatchObject({ transient: true, outcome: 'not-applied' });
  });

  it.each([0, 1])('is of unknown outcome if that of any error is (at %d)', (at) => {
    const errors = [connect('ECONNREFUSED'), connect('ECONNREFUSED')];
    errors[at] = coded('ECONNRESET', { syscall: 'read' });
    expect(classifyError(new AggregateError(errors), 'sent').outcome).toBe('unknown');
  });

  it('is not transient if any error is final', () => {
    const error = new AggregateError([coded('EACCES'), coded('ECONNREFUSED')]);
    expect(classifyError(error, 'sent').transient).toBe(false);
  });

  it('with a stranger among its errors is unknown', () => {
    const error = new AggregateError([new Error('what'), coded('ECONNREFUSED')]);
    expect(classifySystemError(error)).toBeUndefined();
    expect(classifyError(error, 'sent')).toEqual({
      category: 'unknown',
      transient: true,
      outcome: 'unknown',
    });
  });

  it('without errors, or within itself, is unknown', () => {
    const loop = new AggregateError([]);
    expect(classifySystemError(loop)).toBeUndefined();
    loop.errors.push(loop);
    expect(classifySystemError(loop)).toBeUndefined();
  });
});

describe('the classifier of a bare policy', () => {
  it.each([
    ['Error', new Error('x')],
    ['a text', 'x'],
    ['null', null],
    ['undefined', undefined],
    ['0', 0],
    ['a symbol', Symbol('x')],
    ['a function', () => {}],
    ['an object', {}],
  ])('3.13 %s, which no classifier knows, is transient and of unknown outcome', (_name, error) => {
    expect(classifyError(error, 'sent')).toEqual({
      category: 'unknown',
      transient: true,
      outcome: 'unknown',
    });
    expect(classifyError(error, 'connect').outcome).toBe('not-applied');
  });

  it.each([new TypeError('x'), new RangeError('x'), new ReferenceError('x'), new SyntaxError('x')])(
    "a programmer's error is not transient: %s",
    (error) => {
      expect(isProgrammersError(error)).toBe(true);
      expect(classifyError(error, 'sent')).toMatchObject({ category: 'invalid', transient: false });
    },
  );

  it("Error, EvalError and null are no programmer's errors", () => {
    expect([new Error('x'), new EvalError('x'), null].map(isProgrammersError)).toEqual([
      false,
      false,
      false,
    ]);
  });

  it.each([
    ['ECONNREFUSED', 'not-applied'],
    ['ECONNRESET', 'unknown'],
    ['UND_ERR_SOCKET', 'unknown'],
    ['UND_ERR_CONNECT_TIMEOUT', 'not-applied'],
    ['UND_ERR_HEADERS_TIMEOUT', 'unknown'],
  ] as const)("fetch's TypeError is read through its cause %s", (code, outcome) => {
    const error = new TypeError('fetch failed', { cause: coded(code) });
    expect(classifyError(error, 'sent')).toMatchObject({ transient: true, outcome, code });
  });

  it("fetch's own error, from a port where nobody listens", async () => {
    const error: unknown = await fetch('http://127.0.0.1:1/').catch((e: unknown) => e);
    const direct = await new Promise((resolve) => {
      import('node:net').then(({ connect }) => {
        connect(1, '127.0.0.1').on('error', resolve);
      }, resolve);
    });
    expect(classifyError(direct, 'sent')).toMatchObject({
      transient: true,
      outcome: 'not-applied',
    });
    // undici refuses port 1 itself ("bad port"), without a network cause: a bug of the caller.
    expect(classifyError(error, 'sent')).toMatchObject({ transient: false });
  });

  it('a TypeError whose cause is no network error is a bug', () => {
    const error = new TypeError('x', { cause: new Error('y') });
    expect(classifyError(error, 'sent').transient).toBe(false);
  });

  it.each([
    ['a DOMException', new DOMException('stop', 'AbortError')],
    ["Node's own", Object.assign(new Error('x'), { name: 'AbortError', code: 'ABORT_ERR' })],
    ['the reason of a signal', AbortSignal.abort().reason as unknown],
  ])('a cancellation is never transient: %s', (_name, error) => {
    expect(classifyError(error, 'sent')).toMatchObject({ category: 'cancelled', transient: false });
  });

  it.each<[OutlastError, Partial<Failure>]>([
    [
      new AttemptTimeoutError('op', 1, 5),
      { category: 'timeout', transient: true, outcome: 'unknown' },
    ],
    [new DeadlineExceededError('op', 5), { category: 'timeout', transient: false }],
    [new ClosedError('It'), { category: 'cancelled', transient: false }],
    [
      new OptionError('a', 'is b'),
      { category: 'invalid', transient: false, outcome: 'not-applied' },
    ],
    [new OutcomeUnknownError('x'), { transient: false, outcome: 'unknown' }],
    [new CommitOutcomeUnknownError('x'), { transient: false, outcome: 'unknown' }],
    [new OutlastError('OUTLAST_X', 'x'), { transient: false }],
  ])('our own %s', (error, expected) => {
    expect(classifyError(error, 'sent')).toMatchObject({ ...expected, code: error.code });
  });

  it('3.4 our own errors are never re-classified through their cause', () => {
    const cause = coded('ECONNREFUSED');
    for (const error of [
      new ClosedError('It', { cause }),
      new OutcomeUnknownError('x', { cause }),
      new CommitOutcomeUnknownError('x', { cause }),
    ]) {
      expect(classifyError(error, 'sent')).toMatchObject({ transient: false, code: error.code });
      expect(classifySystemError(error)).toBeUndefined();
    }
  });
});

describe('totality', () => {
  const CATEGORIES = [
    'network timeout unavailable throttled contention resource-exhausted',
    'auth invalid not-found conflict cancelled unknown',
  ].flatMap((line) => line.split(' '));

  function expectFailure(error: unknown): void {
    for (const phase of PHASES) {
      const failure = classifyError(error, phase);
      expect(CATEGORIES).toContain(failure.category);
      expect(typeof failure.transient).toBe('boolean');
      expect(['not-applied', 'unknown']).toContain(failure.outcome);
      classifySystemError(error, phase);
    }
    isProgrammersError(error);
  }

  it('3.13 any value has a classification', () => {
    fc.assert(
      fc.property(
        fc.anything({ withNullPrototype: true, withBigInt: true, withSparseArray: true }),
        (value) => expectFailure(value),
      ),
    );
  });

  it('3.13 any value in the places that are read has a classification', () => {
    const spot = fc.anything();
    const shape = fc.record(
      { code: spot, name: spot, cause: spot, errors: spot, syscall: spot },
      { requiredKeys: [] },
    );
    fc.assert(fc.property(shape, (fields) => expectFailure({ ...fields })));
    fc.assert(
      fc.property(shape, (fields) => {
        expectFailure(
          Object.defineProperties(new TypeError('x'), Object.getOwnPropertyDescriptors(fields)),
        );
      }),
    );
  });

  it('3.13 a revoked proxy, a proxy that throws and one without end have a classification', () => {
    const revoked = Proxy.revocable(new TypeError('x'), {});
    revoked.revoke();
    expectFailure(revoked.proxy);
    const boom = () => {
      throw new Error('trap');
    };
    expectFailure(new Proxy({}, { get: boom, has: boom, getPrototypeOf: boom, ownKeys: boom }));
    const endless: object = new Proxy(
      {},
      {
        get: (_target, key) => (key === 'length' ? 1 : key === 'name' ? 'TypeError' : endless),
      },
    );
    expectFailure(endless);
    const wide: object = new Proxy(
      {},
      {
        get: (_target, key) => (key === 'length' ? 2 ** 53 : endless),
      },
    );
    expectFailure({ errors: wide });
    expectFailure({ errors: { length: Infinity } });
  });

  it('3.13 getters that throw have a classification', () => {
    const error = new Error('x');
    for (const key of ['code', 'name', 'cause', 'errors', 'syscall']) {
      Object.defineProperty(error, key, {
        get: () => {
          throw new Error('getter');
        },
      });
    }
    expectFailure(error);
  });
});
