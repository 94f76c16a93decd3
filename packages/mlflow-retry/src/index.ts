export {
  isOptionError,
  isOutcomeUnknown,
  OptionError,
  OutlastError,
  retryInfo,
} from '@outlast/core-retry';
export { classifyMlflow, RETRYABLE_ERROR_CODES } from './classify.js';
export { MlflowClient } from './client.js';
export { isMlflowError, MlflowError } from './errors.js';
export { type CallBounds, type MlflowClientOptions, mlflowRetry } from './options.js';
