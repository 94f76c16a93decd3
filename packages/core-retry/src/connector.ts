/** For those who write a connector: what all of ours share. Applications have no use for it. */
export { scheduleLength } from './backoff.js';
export { connectorDelay } from './connector-delay.js';
export {
  type ConnectorDefaults,
  type ConnectorRetryOptions,
  connectorOptions,
} from './connector-options.js';
export { askHealth, type HealthQuestion, type HealthReport } from './health-check.js';
export { type CallInfo, mark, markCall, reasonOf } from './marks.js';
export { RETRY_OPTIONS } from './options.js';
export {
  abortSignal,
  type Check,
  callable,
  checkOptions,
  duration,
  flag,
  invalidOption,
  type Known,
  nearest,
  nonEmptyText,
  unknownOption,
  wholeNumber,
} from './options-check.js';
export { type ConnectorEnvironment, connectorOptionsFromEnv } from './options-env.js';
export { EXTRA_KEYS, type QueryExtras, queryExtras } from './query-extras.js';
export { type Patience, Reconnect, type ReconnectOptions } from './reconnect.js';
export { redact } from './redact.js';
export { savepoint } from './savepoint.js';
export { onAbort } from './signal-hub.js';
export { SlowStart } from './slow-start.js';
export { rememberByText } from './text-memo.js';
export {
  type FramedBody,
  type OpenTransaction,
  TRANSACTION_BOUNDS,
  type TransactionBounds,
  type TransactionContext,
  TransactionFrame,
} from './transaction-frame.js';
