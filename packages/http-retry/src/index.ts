export {
  isOptionError,
  isOutcomeUnknown,
  OptionError,
  OutlastError,
  retryInfo,
} from '@outlast/core-retry';
export * from 'axios';
export { classifyHttp, RETRYABLE_ERROR_CODES, RETRYABLE_STATUSES } from './classify.js';
export { download } from './download.js';
export type {
  Download,
  DownloadOptions,
  DownloadProgress,
  DownloadRequest,
  DownloadRetryOptions,
  DownloadSource,
  SourceContext,
} from './download-options.js';
export {
  DiskFullError,
  EncodedBodyError,
  HashMismatchError,
  IncompleteBodyError,
  isDiskFullError,
  RedirectRefusedError,
  UnexpectedHtmlError,
  WrongSizeError,
} from './errors.js';
export { HttpStatusError, throwForStatus } from './fetch-status.js';
export type { Health } from './health.js';
export { type HttpRetryOptions, httpRetry } from './options.js';
export type { Resume } from './range.js';
export {
  IDEMPOTENCY_HEADERS,
  type RequestRetryOptions,
  type RetryRequestConfig,
} from './request-options.js';
export { create, retryingAxios as default } from './retrying-axios.js';
export { type Retrying, withRetry } from './with-retry.js';
