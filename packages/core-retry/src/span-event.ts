import type { BreakerEvent, ExhaustedEvent, OutcomeUnknownEvent, RetryEvent } from './events.js';
import { printable, readError } from './printable.js';

export interface SpanEvent {
  readonly name: string;
  readonly attributes: Record<string, string | number>;
}

const LONGEST_NAME = 100;

/** What an event is on a span; durations are in seconds, and texts printable. */
export function spanEvent(
  event: RetryEvent | ExhaustedEvent | OutcomeUnknownEvent | BreakerEvent,
): SpanEvent {
  const name = printable(event.operation, LONGEST_NAME);
  switch (event.type) {
    case 'retry':
      return {
        name: 'outlast.retry',
        attributes: {
          'outlast.operation': name,
          'outlast.attempt': event.attempt,
          ...(event.maxAttempts === Infinity
            ? undefined
            : { 'outlast.max_attempts': event.maxAttempts }),
          'outlast.retry.delay': event.delayMs / 1000,
          'error.type': printable(event.failure.category, LONGEST_NAME),
          ...exception(event.error),
        },
      };
    case 'exhausted':
      return {
        name: 'outlast.exhausted',
        attributes: {
          'outlast.operation': name,
          'outlast.attempts': event.attempts,
          'outlast.reason': event.reason,
          'error.type': printable(event.failure.category, LONGEST_NAME),
          ...exception(event.error),
        },
      };
    case 'outcomeUnknown':
      return {
        name: 'outlast.outcome_unknown',
        attributes: {
          'outlast.operation': name,
          'outlast.attempts': event.attempts,
          'outlast.reason': event.reason,
          ...exception(event.error),
        },
      };
    case 'breaker':
      return {
        name: 'outlast.breaker',
        attributes: {
          'outlast.breaker.name': name,
          'outlast.breaker.state': event.to,
          'outlast.breaker.previous_state': event.from,
          'outlast.breaker.reason': printable(event.reason),
        },
      };
  }
}

function exception(error: unknown): Record<string, string> {
  const { type, message } = readError(error);
  return { 'exception.type': type, 'exception.message': message };
}
