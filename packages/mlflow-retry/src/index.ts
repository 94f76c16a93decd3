export {
  DeadlineExceededError,
  isDeadlineExceededError,
  isOptionError,
  isOutcomeUnknown,
  OptionError,
  OutlastError,
  retryInfo,
} from '@outlast/core-retry';
export { DiskFullError, isDiskFullError } from '@outlast/http-retry';
export type { LogArtifactOptions } from './artifacts.js';
export { CertificateError, isCertificateError } from './certificate-error.js';
export { classifyMlflow, RETRYABLE_ERROR_CODES } from './classify.js';
export { MlflowClient } from './client.js';
export { isMlflowError, MlflowError } from './errors.js';
export type {
  CreateExperimentOptions,
  SearchExperimentsOptions,
  SearchOptions,
  ViewType,
} from './experiments.js';
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
export type { Health } from './health.js';
export type { Values } from './input.js';
export type { CreateLoggedModelOptions, SearchLoggedModelsOptions } from './logged-models.js';
export type { LogBatchOptions, LogMetricOptions, MetricInput } from './logging.js';
export { type CallBounds, type MlflowClientOptions, mlflowRetry } from './options.js';
export { PagedList } from './paging.js';
export type { PruneOptions, PruneResult } from './prune.js';
export type { CreateRegisteredModelOptions } from './registry.js';
export { OPERATION_TAG } from './resolve.js';
export type {
  CreateRunOptions,
  SearchRunsOptions,
  SetTerminatedOptions,
  UpdateRunOptions,
} from './runs.js';
export type {
  Alias,
  Experiment,
  FileInfo,
  KeyValue,
  LoggedModel,
  LoggedModelStatus,
  Metric,
  ModelVersion,
  RegisteredModel,
  Run,
  RunInfo,
  RunStatus,
  ServerInfo,
} from './types.js';
export type { CreateModelVersionOptions, TransitionOptions, Version } from './versions.js';
export type { ModelListener, ModelWatch, WatchOptions } from './watch-model.js';
