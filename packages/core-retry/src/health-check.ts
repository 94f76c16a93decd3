import type { Attempt } from './attempt.js';
import type { Classify } from './failure.js';
import { retryInfo } from './marks.js';
import { RetryPolicy } from './retry-policy.js';

/** What a health page shows. */
export interface HealthReport<D> {
  readonly ok: boolean;
  /** How long the check took, in milliseconds. */
  readonly ms: number;
  readonly attempts: number;
  /** The driver's error, if it failed. */
  readonly error?: unknown;
  readonly details: D;
}

/** How a service is asked whether it is well. */
export interface HealthQuestion<T, D> {
  readonly operation: string;
  /** Whose clock and random are used. */
  readonly policy: RetryPolicy;
  readonly classify: Classify;
  /** One attempt. */
  readonly ask: (attempt: Attempt) => T | PromiseLike<T>;
  /** What is known in the end: with the answer, or with the error. */
  readonly details: (answer: T | undefined, error?: unknown) => D;
}

const ATTEMPT_TIMEOUT_MS = 5000;

/** Three attempts of at most 5 s, 0.5 s to 5 s between them, without patience. Never rejects. */
export async function askHealth<T, D>(question: HealthQuestion<T, D>): Promise<HealthReport<D>> {
  const { operation, classify, ask, details } = question;
  const { clock, random } = question.policy.settings;
  const policy = new RetryPolicy({
    maxAttempts: 3,
    baseDelayMs: 500,
    maxDelayMs: 5000,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    operation,
    classify,
    clock,
    random,
  });
  const start = clock.now();
  let attempts = 0;
  try {
    const answer = await policy.execute((attempt) => {
      attempts = attempt.number;
      return ask(attempt);
    });
    return { ok: true, ms: clock.now() - start, attempts, details: details(answer) };
  } catch (error) {
    const ms = clock.now() - start;
    attempts = retryInfo(error)?.attempts ?? attempts;
    return { ok: false, ms, attempts, error, details: details(undefined, error) };
  }
}
