export type { Attempt } from './attempt.js';
export { type BackoffOptions, backoffDelay, type Jitter } from './backoff.js';
export type { BreakerSnapshot, BreakerStore, ProbeClaim } from './breaker-store.js';
export type { CallOptions, Resolution, Work } from './call.js';
export { type Clock, systemClock, type Timer } from './clock.js';
export {
  AttemptTimeoutError,
  ClosedError,
  CommitOutcomeUnknownError,
  DeadlineExceededError,
  isAttemptTimeoutError,
  isClosedError,
  isCommitOutcomeUnknownError,
  isDeadlineExceededError,
  isOptionError,
  isOutcomeUnknownError,
  isOutlastError,
  OptionError,
  OutcomeUnknownError,
  OutlastError,
} from './errors.js';
export type {
  AttemptEvent,
  BreakerEvent,
  BreakerState,
  BudgetEvent,
  DownEvent,
  ExhaustedEvent,
  OutcomeUnknownEvent,
  PolicyEvent,
  PolicyEventOf,
  PolicyEventType,
  PolicyListener,
  RetryEvent,
  StoreEvent,
  SuccessEvent,
  UpEvent,
} from './events.js';
export {
  type Category,
  type Classify,
  classifyError,
  classifySystemError,
  type Failure,
  isProgrammersError,
  type Outcome,
  type Phase,
} from './failure.js';
export { FileBreakerStore, type FileBreakerStoreOptions } from './file-breaker-store.js';
export {
  type FailedAttempt,
  isOutcomeUnknown,
  type Reason,
  type RetryInfo,
  retryInfo,
} from './marks.js';
export type { RetryOptions, Settings } from './options.js';
export { type EnvironmentOptions, retryOptionsFromEnv } from './options-env.js';
export { retryOptionsFromObject } from './options-object.js';
export { parseRetryAfter } from './retry-after.js';
export { RetryBudget, type RetryBudgetOptions } from './retry-budget.js';
export { RetryPolicy, retry } from './retry-policy.js';
export { decide, type Verdict } from './rule.js';
