import driver from 'pg';
import { Pool } from './pool.js';

export {
  CommitOutcomeUnknownError,
  isCommitOutcomeUnknownError,
  isOptionError,
  isOutcomeUnknown,
  OptionError,
  OutlastError,
  retryInfo,
} from '@outlast/core-retry';
export type { QueryExtras, TransactionContext } from '@outlast/core-retry/connector';
export * from 'pg';
export { classifyPg, isFatal, isServerError } from './classify.js';
export { RETRYABLE_ERROR_CODES } from './client-errors.js';
export type { CommitMarkerOption } from './commit-marker.js';
export type { Health } from './health.js';
export type { HostAddress, Target } from './host-list.js';
export type { ListenGap, ListenHandler, ListenOptions, Subscription } from './listen-options.js';
export { pgRetry, type RetryPoolConfig } from './options.js';
export { RETRYABLE_SQLSTATES } from './sqlstates.js';
export type { Transaction } from './transaction.js';
export type { IsolationLevel, TransactionBody, TransactionOptions } from './transaction-call.js';
export { Pool };

// The driver's default export with our Pool in place of its own; `native` stays the getter it is.
const drop: typeof driver = Object.create(
  Object.getPrototypeOf(driver),
  Object.getOwnPropertyDescriptors(driver),
);
Object.defineProperty(drop, 'Pool', { value: Pool, enumerable: true, configurable: true });
export default drop;
