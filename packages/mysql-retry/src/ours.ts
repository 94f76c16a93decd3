/** What both subpaths export beside the driver's own. */
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
export {
  classifyMysql,
  isServerError,
  RETRYABLE_ERRNOS,
  RETRYABLE_ERROR_CODES,
} from './classify.js';
export type { Health } from './health.js';
export type { Host, Target } from './hosts.js';
export {
  mysqlRetry,
  type RetryConnectionOptions,
  type RetryPoolOptions,
  type RetryQueryOptions,
} from './options.js';
export type { Transaction } from './transaction.js';
export type { IsolationLevel, TransactionBody, TransactionOptions } from './transaction-call.js';
