export type { Attempt } from './attempt.js';
export type { BlockAttempt } from './attempts.js';
export { type BackoffOptions, backoffDelay, type Jitter } from './backoff.js';
export { breakerOptionsFromEnv } from './breaker-env.js';
export type { CircuitBreakerOptions } from './breaker-options.js';
export { BreakerRegistry, type BreakerRegistryOptions } from './breaker-registry.js';
export type { BreakerSnapshot, BreakerStore, ProbeClaim } from './breaker-store.js';
export { Bulkhead, type BulkheadOptions, type BulkheadStatus } from './bulkhead.js';
export type { CallOptions, Resolution, Work } from './call.js';
export { type BreakerPermit, type BreakerStatus, CircuitBreaker } from './circuit-breaker.js';
export { type Clock, systemClock, type Timer } from './clock.js';
export { type RetryableDecorator, retryable } from './decorator.js';
export {
  AttemptTimeoutError,
  BulkheadFullError,
  CircuitOpenError,
  ClosedError,
  CommitOutcomeUnknownError,
  DeadlineExceededError,
  isAttemptTimeoutError,
  isBulkheadFullError,
  isCircuitOpenError,
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
  AlertEvent,
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
  CATEGORIES,
  type Category,
  type Classify,
  classifyError,
  classifySystemError,
  composeClassifiers,
  type Failure,
  isProgrammersError,
  type Outcome,
  type PartialClassify,
  type Phase,
} from './failure.js';
export { FileBreakerStore, type FileBreakerStoreOptions } from './file-breaker-store.js';
export type { ErrorClass } from './judge.js';
export type { LogFields } from './log-line.js';
export { type Logger, type LogOptions, logEvents } from './logger.js';
export type { ManagerConfig, OperationConfig, ServiceConfig } from './manager-config.js';

export {
  type FailedAttempt,
  isOutcomeUnknown,
  type Reason,
  type RetryInfo,
  retryInfo,
} from './marks.js';
export type { RetryOptions, Settings, Tally } from './options.js';
export { type EnvironmentOptions, retryOptionsFromEnv } from './options-env.js';
export { breakerOptionsFromObject, retryOptionsFromObject } from './options-object.js';
export { parseRetryAfter } from './retry-after.js';
export { RetryBudget, type RetryBudgetOptions } from './retry-budget.js';
export {
  type ManagedCall,
  type ManagerStatus,
  type OperationNames,
  RetryManager,
  type RetryManagerOptions,
} from './retry-manager.js';
export { RetryPolicy, retry } from './retry-policy.js';
export { retrySync, type SyncOptions } from './retry-sync.js';
export { decide, type Verdict } from './rule.js';
