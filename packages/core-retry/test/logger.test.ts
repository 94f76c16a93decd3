import { Console } from 'node:console';
import { Writable } from 'node:stream';
import type { PolicyEvent } from '@outlast/core-retry';
import { failTimes } from '@outlast/core-retry/testing';
import pino from 'pino';
import { describe, expect, it, vi } from 'vitest';
import winston from 'winston';
import { EVENT_TYPES } from '../src/events.js';
import { type Logger, type LogOptions, logEvents } from '../src/logger.js';
import { describeError, printable, readError } from '../src/printable.js';
import { bench, coded, REFUSED, RESET, settled, turn } from './helpers.js';
import { hostileErrors, leaks } from './hostile.js';

const at = Date.UTC(2026, 0, 1);
const failure = { category: 'network', transient: true, outcome: 'unknown' } as const;
const refused = (): Error =>
  Object.assign(new Error('Broker not available'), { name: 'KafkaError' });

const retryEvent = {
  type: 'retry',
  operation: 'kafka_publish',
  at,
  attempt: 2,
  maxAttempts: 3,
  delayMs: 2150,
  failure,
  error: refused(),
} as const satisfies PolicyEvent;

const exhaustedEvent = {
  type: 'exhausted',
  operation: 'kafka_publish',
  at,
  attempts: 3,
  elapsedMs: 5,
  reason: 'exhausted',
  failure,
  error: refused(),
  failures: [],
} as const satisfies PolicyEvent;

/** A logger that keeps what it is told, as [level, ...arguments]. */
function recorder(): { readonly lines: unknown[][]; readonly logger: Logger } {
  const lines: unknown[][] = [];
  const level =
    (name: string) =>
    (...told: unknown[]): void => {
      lines.push([name, ...told]);
    };
  const logger = {
    debug: level('debug'),
    info: level('info'),
    warn: level('warn'),
    error: level('error'),
  };
  return { lines, logger };
}

/** What one event becomes. */
function linesOf(event: PolicyEvent, options?: LogOptions): unknown[][] {
  const { lines, logger } = recorder();
  logEvents(logger, options)(event);
  return lines;
}

describe('the lines of seed 002', () => {
  it('a retry, a success after one, and the end', async () => {
    const { clock, policy } = bench({
      operation: 'kafka_publish',
      baseDelayMs: 2150,
      backoffFactor: 1,
    });
    const { lines, logger } = recorder();
    const log = logEvents(logger);
    for (const type of EVENT_TYPES) if (type !== 'attempt') policy.on(type, log);
    await clock.runUntilSettled(policy.execute(failTimes([refused(), refused()], 'v')));
    const ended = policy.execute(failTimes([refused(), refused(), refused()], 'v'), {
      idempotent: true,
    });
    await clock.runUntilSettled(settled(ended));
    const retried = (attempt: number): unknown[] => [
      'warn',
      `Retry attempt ${attempt}/3 failed for kafka_publish, waiting 2.15s`,
      {
        operation: 'kafka_publish',
        attempt,
        max_attempts: 3,
        delay_seconds: 2.15,
        error: 'KafkaError: Broker not available',
      },
    ];
    const ends = {
      operation: 'kafka_publish',
      attempts: 3,
      error: 'KafkaError: Broker not available',
    };
    expect(lines).toEqual([
      retried(1),
      retried(2),
      [
        'info',
        'Retry succeeded for kafka_publish',
        { operation: 'kafka_publish', attempt: 3, max_attempts: 3 },
      ],
      retried(1),
      retried(2),
      ['error', 'All retry attempts exhausted for kafka_publish', ends],
      [
        'error',
        'Outcome unknown for kafka_publish: it failed and may have taken effect',
        { ...ends, reason: 'exhausted' },
      ],
    ]);
  });

  it('a success carries max_attempts', () => {
    const event = {
      type: 'success',
      operation: 'db',
      at,
      attempts: 2,
      elapsedMs: 1,
      maxAttempts: 3,
    } as const;
    expect(linesOf(event)).toEqual([
      ['info', 'Retry succeeded for db', { operation: 'db', attempt: 2, max_attempts: 3 }],
    ]);
  });
});

describe('every event is one line or none', () => {
  it.each<readonly [string, PolicyEvent, unknown[] | undefined]>([
    [
      'a first attempt',
      { type: 'attempt', operation: 'op', at, attempt: 1, maxAttempts: 3 },
      undefined,
    ],
    [
      'a later attempt',
      { type: 'attempt', operation: 'op', at, attempt: 2, maxAttempts: 3 },
      ['debug', 'Attempt 2/3 begins for op', { operation: 'op', attempt: 2, max_attempts: 3 }],
    ],
    [
      'a success at once',
      { type: 'success', operation: 'op', at, attempts: 1, maxAttempts: 3, elapsedMs: 1 },
      undefined,
    ],
    [
      'a retry without limit',
      { ...retryEvent, maxAttempts: Infinity, delayMs: 1234.56 },
      [
        'warn',
        'Retry attempt 2 failed for kafka_publish, waiting 1.23s',
        {
          operation: 'kafka_publish',
          attempt: 2,
          delay_seconds: 1.235,
          error: 'KafkaError: Broker not available',
        },
      ],
    ],
    [
      'an unknown outcome',
      {
        type: 'outcomeUnknown',
        operation: 'op',
        at,
        attempts: 2,
        reason: 'deadline',
        error: coded(RESET),
      },
      [
        'error',
        'Outcome unknown for op: it failed and may have taken effect',
        { operation: 'op', attempts: 2, reason: 'deadline', error: 'Error: scripted ECONNRESET' },
      ],
    ],
    [
      'a breaker that opens',
      {
        type: 'breaker',
        operation: 'db',
        at,
        from: 'closed',
        to: 'open',
        reason: '5 consecutive failures',
        openTimeoutMs: 30_000,
      },
      [
        'warn',
        'Circuit breaker opened for db: 5 consecutive failures',
        {
          operation: 'db',
          from: 'closed',
          to: 'open',
          reason: '5 consecutive failures',
          open_seconds: 30,
        },
      ],
    ],
    ...((
      [
        ['isolated', 'warn'],
        ['half-open', 'info'],
        ['closed', 'info'],
      ] as const
    ).map(
      ([to, level]) =>
        [
          `a breaker that becomes ${to}`,
          { type: 'breaker', operation: 'db', at, from: 'open', to, reason: 'why' },
          [
            level,
            `Circuit breaker ${to} for db: why`,
            { operation: 'db', from: 'open', to, reason: 'why' },
          ],
        ] as const,
    ) as (readonly [string, PolicyEvent, unknown[]])[]),
    [
      'a budget that refuses',
      { type: 'budget', operation: 'op', at, balance: 0.5, denied: 7 },
      ['warn', 'Retry budget refused a retry for op', { operation: 'op', balance: 0.5, denied: 7 }],
    ],
    [
      'a store that fails',
      { type: 'store', operation: 'db', at, action: 'save', error: coded('EROFS') },
      [
        'warn',
        'Breaker store failed to save for db, going on without it',
        { operation: 'db', action: 'save', error: 'Error: scripted EROFS' },
      ],
    ],
    [
      'a service that is lost',
      { type: 'down', operation: 'pg', at, since: at, error: coded(REFUSED) },
      [
        'error',
        'Service cannot be reached: pg',
        {
          operation: 'pg',
          since: '2026-01-01T00:00:00.000Z',
          error: 'Error: scripted ECONNREFUSED',
        },
      ],
    ],
    [
      'a service that is found',
      { type: 'up', operation: 'pg', at, downMs: 12_300 },
      [
        'info',
        'Service can be reached again: pg, after 12.30s',
        { operation: 'pg', down_seconds: 12.3 },
      ],
    ],
    [
      'what a person should look at',
      {
        type: 'alert',
        operation: 'kafka.consumer',
        at,
        reason: 'dead-letter-refused',
        message: 'The dead-letter topic x does not take messages.',
        error: coded(REFUSED),
      },
      [
        'error',
        'The dead-letter topic x does not take messages. (kafka.consumer)',
        {
          operation: 'kafka.consumer',
          reason: 'dead-letter-refused',
          error: 'Error: scripted ECONNREFUSED',
        },
      ],
    ],
    [
      'an alert without an error',
      { type: 'alert', operation: 'op', at, reason: 'why', message: 'Look.' },
      ['error', 'Look. (op)', { operation: 'op', reason: 'why' }],
    ],
    ['an event of a later version', { type: 'new', operation: 'op', at } as never, undefined],
  ])('%s', (_, event, line) => {
    expect(linesOf(event)).toEqual(line === undefined ? [] : [line]);
  });

  it.each([
    ['permanent', 'Failure is permanent, no further attempt for kafka_publish'],
    [
      'outcome-unknown',
      'Outcome is unknown and a replay is not safe, no further attempt for kafka_publish',
    ],
    ['deadline', 'Deadline reached, no further attempt for kafka_publish'],
    ['budget', 'Retry budget is used up, no further attempt for kafka_publish'],
    [
      'retry-after',
      'Server asks for a longer wait than is allowed, no further attempt for kafka_publish',
    ],
    ['circuit-open', 'Circuit breaker is open, no further attempt for kafka_publish'],
    ['closed', 'Operation ended for kafka_publish'],
  ] as const)('an end by %s says so, and names the reason', (reason, message) => {
    expect(linesOf({ ...exhaustedEvent, reason })).toEqual([
      [
        // Every call of an outage is refused: at a higher level they would drown the line of the breaker.
        reason === 'circuit-open' ? 'debug' : 'error',
        message,
        {
          operation: 'kafka_publish',
          attempts: 3,
          reason,
          error: 'KafkaError: Broker not available',
        },
      ],
    ]);
  });
});

describe('real loggers', () => {
  const message = 'Retry attempt 2/3 failed for kafka_publish, waiting 2.15s';
  const fields = {
    operation: 'kafka_publish',
    attempt: 2,
    max_attempts: 3,
    delay_seconds: 2.15,
    error: 'KafkaError: Broker not available',
  };

  function stream(): { readonly written: () => unknown[]; readonly sink: Writable } {
    const chunks: string[] = [];
    const sink = new Writable({
      write(chunk, _, done) {
        chunks.push(String(chunk));
        done();
      },
    });
    return {
      sink,
      written: () =>
        chunks
          .join('')
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line)),
    };
  }

  it('pino, and a child of it', () => {
    const { sink, written } = stream();
    const root = pino({ base: null, timestamp: false }, sink);
    logEvents(root)(retryEvent);
    logEvents(root.child({ shop: 1 }))(retryEvent);
    expect(written()).toEqual([
      { level: 40, ...fields, msg: message },
      { level: 40, shop: 1, ...fields, msg: message },
    ]);
  });

  it('winston, with and without splat', async () => {
    for (const format of [
      winston.format.json(),
      winston.format.combine(winston.format.splat(), winston.format.json()),
    ]) {
      const { sink, written } = stream();
      const transports = [new winston.transports.Stream({ stream: sink })];
      const logger = winston.createLogger({ format, transports });
      logEvents(logger)(retryEvent);
      await turn();
      expect(written()).toEqual([{ level: 'warn', message, ...fields }]);
    }
  });

  it('winston with splat keeps the fields of an operation that looks like a format', async () => {
    const { sink, written } = stream();
    const format = winston.format.combine(winston.format.splat(), winston.format.json());
    const logger = winston.createLogger({
      format,
      transports: [new winston.transports.Stream({ stream: sink })],
    });
    logEvents(logger)({ ...exhaustedEvent, operation: 'a%sb' });
    await turn();
    expect(written()).toMatchObject([{ operation: 'a%sb', attempts: 3 }]);
  });

  it('console, which reads the first argument as a format', () => {
    const chunks: string[] = [];
    const out = new Writable({
      write(chunk, _, done) {
        chunks.push(String(chunk));
        done();
      },
    });
    const log = new Console({
      stdout: out,
      stderr: out,
      inspectOptions: { breakLength: Infinity },
    });
    logEvents(log)({ ...exhaustedEvent, operation: '100%s' });
    expect(chunks).toEqual([
      "All retry attempts exhausted for 100%s { operation: '100%s', attempts: 3, error: 'KafkaError: Broker not available' }\n",
    ]);
  });

  it('the global console will do, and keeps its `this`', () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    logEvents(console)(retryEvent);
    expect(warn.mock.calls).toEqual([[message, fields]]);
    expect(warn.mock.contexts).toEqual([console]);
    warn.mockRestore();
  });

  it('the style may be said', () => {
    const line = linesOf(retryEvent, { style: 'fields-first' });
    expect(line).toEqual([['warn', fields, message]]);
    const { lines, logger } = recorder();
    logEvents(Object.assign(logger, { bindings: () => ({}) }), { style: 'message-first' })(
      retryEvent,
    );
    expect(lines).toEqual([['warn', message, fields]]);
  });

  it('a logger without debug is not asked for it', () => {
    const { lines, logger } = recorder();
    const { debug: _, ...rest } = logger;
    logEvents(rest)({ type: 'attempt', operation: 'op', at, attempt: 2, maxAttempts: 3 });
    expect(lines).toEqual([]);
  });

  it.each([
    [{}, {}, /logger must have the methods info, warn and error/],
    [null, {}, /logger must have/],
    [{ info() {}, warn() {} }, {}, /logger must have/],
    [
      recorder().logger,
      { style: 'pino' },
      /style must be 'message-first' or 'fields-first'; got 'pino'/,
    ],
  ])('%j is refused', (logger, options, says) => {
    expect(() => logEvents(logger as Logger, options as LogOptions)).toThrow(says);
  });
});

describe('nothing gets out', () => {
  it('3.14 a logger that throws, or rejects, changes nothing', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    for (const fail of [
      (): never => {
        throw new Error('disk full');
      },
      (): Promise<never> => Promise.reject(new Error('disk full')),
    ]) {
      const told = vi.fn(fail);
      const log = logEvents({ info: told, warn: told, error: told });
      expect(log(retryEvent)).toBeUndefined();
      expect(told).toHaveBeenCalledTimes(1);
    }
    await turn();
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });

  it('hostile errors become a line each', () => {
    const errors = hostileErrors();
    const lines = errors.flatMap((error) => linesOf({ ...exhaustedEvent, error }));
    expect(lines.map((line) => (line[2] as { error: string }).error)).toEqual([
      'undefined',
      'null',
      '0',
      'Symbol(s)',
      'string',
      'function',
      'Object',
      'Object',
      'Error',
      'Error: m',
      'Error: m',
      'Object',
      'Object',
      'Object',
      'Error: frozen',
    ]);
  });

  it('an error without a message is told by its code', () => {
    const none = Object.assign(new AggregateError([coded(REFUSED)]), { code: REFUSED });
    expect(describeError(none)).toBe('AggregateError: ECONNREFUSED');
    class Odd {}
    expect(readError(new Odd())).toEqual({ type: 'Odd', message: '' });
    expect(describeError('boom')).toBe('boom');
  });

  it('a password is in no line, and a line is short and one', () => {
    const canary = 'C4n4ry-s3cret';
    for (const text of leaks(canary)) {
      const error = Object.assign(new Error(text), { name: text });
      const base = { operation: text, at, error };
      const events: PolicyEvent[] = [
        { type: 'attempt', operation: text, at, attempt: 2, maxAttempts: 3 },
        { ...retryEvent, ...base },
        { type: 'success', operation: text, at, attempts: 2, maxAttempts: 3, elapsedMs: 1 },
        { ...exhaustedEvent, ...base },
        { ...exhaustedEvent, ...base, error: text },
        { type: 'outcomeUnknown', ...base, attempts: 1, reason: 'deadline' },
        { type: 'breaker', operation: text, at, from: 'closed', to: 'open', reason: text },
        { type: 'budget', operation: text, at, balance: 0, denied: 1 },
        { type: 'store', ...base, action: 'load' },
        { type: 'down', ...base, since: at },
        { type: 'up', operation: text, at, downMs: 1 },
        { type: 'alert', ...base, reason: text, message: text },
      ];
      const lines = events.flatMap((event) => linesOf(event));
      expect(lines).toHaveLength(events.length);
      expect(JSON.stringify(lines)).not.toContain(canary);
      for (const [, message, fields] of lines) {
        for (const said of [message, ...Object.values(fields as object)]) {
          expect(String(said).length).toBeLessThanOrEqual(750);
        }
      }
    }
  });

  it('line breaks and control characters cannot forge a line', () => {
    const operation = 'a\r\nERROR forged\u001b[31m\u2028b';
    expect(linesOf({ ...exhaustedEvent, operation, error: 'x\n\ny' })).toEqual([
      [
        'error',
        'All retry attempts exhausted for a ERROR forged [31m b',
        { operation: 'a ERROR forged [31m b', attempts: 3, error: 'x y' },
      ],
    ]);
  });

  it('a text of any length is read in little time', () => {
    const started = process.cpuUsage();
    const secret = `password=${'x'.repeat(16_300)} end`;
    for (const text of [`${secret}${'y'.repeat(1e6)}`, 'x'.repeat(1e6), ' '.repeat(1e6)]) {
      for (let i = 0; i < 20; i++) printable(text);
    }
    // Reading it in quadratic time takes seconds of processor time; this takes some 20 ms.
    expect(process.cpuUsage(started).user / 1000).toBeLessThan(1000);
    expect(printable(`${secret}${'y'.repeat(1e6)}`)).toBe('password=*** …');
  });

  it('a cut splits no character and shows', () => {
    expect(printable('abcdef', 4)).toBe('abc…');
    expect(printable('abcd', 4)).toBe('abcd');
    expect(printable('\n a\tb \r\n')).toBe('a b');
    expect(printable('ab😀def', 4)).toBe('ab…');
  });
});
