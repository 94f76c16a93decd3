import type {
  BreakerEvent,
  ExhaustedEvent,
  PolicyEvent,
  RetryEvent,
  SuccessEvent,
} from './events.js';
import { describeError, printable } from './printable.js';

type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What a log line carries beside its message; durations are in seconds. */
export type LogFields = Readonly<Record<string, string | number>>;

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

const LONGEST_NAME = 100;

const ENDINGS: Readonly<Partial<Record<ExhaustedEvent['reason'], string>>> = {
  exhausted: 'All retry attempts exhausted',
  permanent: 'Failure is permanent, no further attempt',
  'outcome-unknown': 'Outcome is unknown and a replay is not safe, no further attempt',
  deadline: 'Deadline reached, no further attempt',
  budget: 'Retry budget is used up, no further attempt',
  'retry-after': 'Server asks for a longer wait than is allowed, no further attempt',
  'circuit-open': 'Circuit breaker is open, no further attempt',
};

/** What an event is worth in a log: one line, or none. Names, levels and fields are a contract. */
export function logLine(event: PolicyEvent): LogLine | undefined {
  const operation = printable(event.operation, LONGEST_NAME);
  switch (event.type) {
    case 'attempt':
      // The first one is no news: a line a call would drown the rest.
      if (event.attempt === 1) return undefined;
      return line(
        'debug',
        `Attempt ${outOf(event.attempt, event.maxAttempts)} begins for ${operation}`,
        {
          operation,
          attempt: event.attempt,
          ...maxAttempts(event.maxAttempts),
        },
      );
    case 'retry':
      return retryLine(event, operation);
    case 'success':
      return event.attempts > 1 ? successLine(event, operation) : undefined;
    case 'exhausted':
      return exhaustedLine(event, operation);
    case 'outcomeUnknown':
      return line(
        'error',
        `Outcome unknown for ${operation}: it failed and may have taken effect`,
        {
          operation,
          attempts: event.attempts,
          reason: event.reason,
          error: describeError(event.error),
        },
      );
    case 'breaker':
      return breakerLine(event, operation);
    case 'budget':
      return line('warn', `Retry budget refused a retry for ${operation}`, {
        operation,
        balance: event.balance,
        denied: event.denied,
      });
    case 'store':
      return line(
        'warn',
        `Breaker store failed to ${event.action} for ${operation}, going on without it`,
        {
          operation,
          action: event.action,
          error: describeError(event.error),
        },
      );
    case 'down':
      return line('error', `Service cannot be reached: ${operation}`, {
        operation,
        since: new Date(event.since).toISOString(),
        error: describeError(event.error),
      });
    case 'up':
      return line(
        'info',
        `Service can be reached again: ${operation}, after ${shown(event.downMs)}`,
        { operation, down_seconds: seconds(event.downMs) },
      );
    case 'alert':
      return line('error', `${printable(event.message)} (${operation})`, {
        operation,
        reason: printable(event.reason, LONGEST_NAME),
        ...(event.error === undefined ? undefined : { error: describeError(event.error) }),
      });
    default:
      return undefined;
  }
}

function retryLine(event: RetryEvent, operation: string): LogLine {
  const attempt = outOf(event.attempt, event.maxAttempts);
  const message = `Retry attempt ${attempt} failed for ${operation}, waiting ${shown(event.delayMs)}`;
  return line('warn', message, {
    operation,
    attempt: event.attempt,
    ...maxAttempts(event.maxAttempts),
    delay_seconds: seconds(event.delayMs),
    error: describeError(event.error),
  });
}

function successLine(event: SuccessEvent, operation: string): LogLine {
  return line('info', `Retry succeeded for ${operation}`, {
    operation,
    attempt: event.attempts,
    ...maxAttempts(event.maxAttempts),
  });
}

function exhaustedLine(event: ExhaustedEvent, operation: string): LogLine {
  const { reason, attempts } = event;
  const ending = ENDINGS[reason] ?? 'Operation ended';
  // Every call of an outage is refused: the line of the breaker that opened says it once.
  const level = reason === 'circuit-open' ? 'debug' : 'error';
  return line(level, `${ending} for ${operation}`, {
    operation,
    attempts,
    ...(reason === 'exhausted' ? undefined : { reason }),
    error: describeError(event.error),
  });
}

function breakerLine(event: BreakerEvent, operation: string): LogLine {
  const { from, to, openTimeoutMs } = event;
  const reason = printable(event.reason);
  const level = to === 'open' || to === 'isolated' ? 'warn' : 'info';
  const state = to === 'open' ? 'opened' : to;
  return line(level, `Circuit breaker ${state} for ${operation}: ${reason}`, {
    operation,
    from,
    to,
    reason,
    ...(openTimeoutMs === undefined ? undefined : { open_seconds: seconds(openTimeoutMs) }),
  });
}

function line(level: LogLevel, message: string, fields: LogFields): LogLine {
  return { level, message, fields };
}

/** `2/3`; just `2` where there is no limit. */
function outOf(attempt: number, most: number): string {
  return most === Infinity ? String(attempt) : `${attempt}/${most}`;
}

/** Left out where there is no limit: JSON has no Infinity. */
function maxAttempts(most: number): { readonly max_attempts?: number } {
  return most === Infinity ? {} : { max_attempts: most };
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}

function shown(ms: number): string {
  return `${(ms / 1000).toFixed(2)}s`;
}
