export {
  isOptionError,
  isOutcomeUnknown,
  OptionError,
  OutlastError,
  retryInfo,
} from '@outlast/core-retry';
export { DiskFullError, isDiskFullError } from '@outlast/http-retry';
export { classifyMlflow, RETRYABLE_ERROR_CODES } from './classify.js';
export { MlflowClient } from './client.js';
export { isMlflowError, MlflowError } from './errors.js';
export {
  CorruptFileError,
  EmptyModelError,
  isCorruptFileError,
  isEmptyModelError,
  isMalformedAnswerError,
  isModelNotReadyError,
  isNoSuchVersionError,
  isUnlistableStoreError,
  isUnsafeListingError,
  MalformedAnswerError,
  ModelNotReadyError,
  NoSuchVersionError,
  UnlistableStoreError,
  UnsafeListingError,
} from './fetch-model-errors.js';
export type { FetchedModel, FetchOptions } from './fetch-model-options.js';
export type { FetchProgress } from './fetch-model-progress.js';
export { type CallBounds, type MlflowClientOptions, mlflowRetry } from './options.js';
export type { PruneOptions, PruneResult } from './prune.js';
export type { ModelListener, ModelWatch, WatchOptions } from './watch-model.js';
