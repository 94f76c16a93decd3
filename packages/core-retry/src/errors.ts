import { redact } from './redact.js';

// A registered symbol, so that guards hold when two copies of the package meet in one process.
const BRAND = Symbol.for('@outlast/error');

/** Base of all errors of ours. They exist only where no driver's error says it. */
export class OutlastError extends Error {
  /** Stable, for programs: `OUTLAST_…`. */
  readonly code: string;

  /** @param clean the message without secrets, if the caller has it already */
  constructor(
    code: string,
    message: string,
    options?: { readonly cause?: unknown },
    clean: string = redact(message),
  ) {
    super(clean, options);
    this.code = code;
  }

  override get name(): string {
    return this.constructor.name;
  }
}

Object.defineProperty(OutlastError.prototype, BRAND, { value: true });

/** The total time ran out before anything had failed. */
export class DeadlineExceededError extends OutlastError {
  constructor(operation: string, totalTimeoutMs: number) {
    super(
      'OUTLAST_DEADLINE_EXCEEDED',
      `${operation} did not finish within its totalTimeoutMs of ${totalTimeoutMs} ms. Allow it more time, or find out why it is slow.`,
    );
  }
}

/** One attempt took longer than `attemptTimeoutMs`. It may still be running on the other side. */
export class AttemptTimeoutError extends OutlastError {
  constructor(operation: string, attempt: number, attemptTimeoutMs: number) {
    super(
      'OUTLAST_ATTEMPT_TIMEOUT',
      `Attempt ${attempt} of ${operation} took longer than its attemptTimeoutMs of ${attemptTimeoutMs} ms.`,
    );
  }
}

/** Nobody can say whether the operation took effect, and there is no driver's error to say it on. */
export class OutcomeUnknownError extends OutlastError {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super('OUTLAST_OUTCOME_UNKNOWN', message, options);
  }
}

/** A COMMIT was sent, its answer was lost, and what became of it cannot be found out. */
export class CommitOutcomeUnknownError extends OutlastError {
  constructor(why: string, options?: { readonly cause?: unknown }) {
    super(
      'OUTLAST_COMMIT_OUTCOME_UNKNOWN',
      `The answer to COMMIT was lost and its outcome cannot be found out: ${why}. Look for the transaction's effect before you repeat it.`,
      options,
    );
  }
}

/** An option or an environment variable is wrong. Says which, what it was and what is valid. */
export class OptionError extends OutlastError {
  /** The option's or variable's name, as the caller wrote it. */
  readonly option: string;

  constructor(option: string, problem: string) {
    super('OUTLAST_OPTION', `${option} ${problem}`);
    this.option = redact(option);
  }
}

/** The policy or client was closed while, or before, the operation ran. */
export class ClosedError extends OutlastError {
  constructor(what: string, options?: { readonly cause?: unknown }) {
    super('OUTLAST_CLOSED', `${what} was closed, so the operation was not (re)tried.`, options);
  }
}

/** A circuit breaker is open: the operation was not called. Made without a stack, for it is the hot path of an outage. */
export class CircuitOpenError extends OutlastError {
  /** The breaker's name. */
  readonly breaker: string;
  /** Until it admits a probe, in milliseconds; undefined while probes are under way, or if it was isolated. */
  readonly retryAfterMs: number | undefined;

  /** @param message as {@link circuitOpenMessage} makes it, if the caller has it already */
  constructor(
    breaker: string,
    retryAfterMs: number | undefined,
    message: string = circuitOpenMessage(breaker),
  ) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super('OUTLAST_CIRCUIT_OPEN', message, undefined, message);
    Error.stackTraceLimit = stackTraceLimit;
    this.breaker = breaker;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Without the time that is left, so that it is made once a breaker, and without secrets. */
export function circuitOpenMessage(breaker: string): string {
  return `The circuit breaker '${redact(breaker)}' is open, so the operation was not called. Ask again when retryAfterMs is over.`;
}

/** All slots of a bulkhead are taken, and its queue is full: the operation was not called. */
export class BulkheadFullError extends OutlastError {
  constructor(maxConcurrent: number, maxQueued: number) {
    super(
      'OUTLAST_BULKHEAD_FULL',
      `${maxConcurrent} operations are under way and ${maxQueued} wait, which is all that this bulkhead allows. Allow more of them, or ask again later.`,
    );
  }
}

/** True for every error of ours, also from another copy of the package. */
export function isOutlastError(error: unknown): error is OutlastError {
  return error instanceof Error && BRAND in error;
}

function guard<E extends OutlastError>(code: string): (error: unknown) => error is E {
  return (error): error is E => isOutlastError(error) && error.code === code;
}

export const isDeadlineExceededError: (error: unknown) => error is DeadlineExceededError = guard(
  'OUTLAST_DEADLINE_EXCEEDED',
);
export const isAttemptTimeoutError: (error: unknown) => error is AttemptTimeoutError =
  guard('OUTLAST_ATTEMPT_TIMEOUT');
export const isOutcomeUnknownError: (error: unknown) => error is OutcomeUnknownError =
  guard('OUTLAST_OUTCOME_UNKNOWN');
export const isCircuitOpenError: (error: unknown) => error is CircuitOpenError =
  guard('OUTLAST_CIRCUIT_OPEN');
export const isBulkheadFullError: (error: unknown) => error is BulkheadFullError =
  guard('OUTLAST_BULKHEAD_FULL');
export const isCommitOutcomeUnknownError: (error: unknown) => error is CommitOutcomeUnknownError =
  guard('OUTLAST_COMMIT_OUTCOME_UNKNOWN');
export const isOptionError: (error: unknown) => error is OptionError = guard('OUTLAST_OPTION');
export const isClosedError: (error: unknown) => error is ClosedError = guard('OUTLAST_CLOSED');
