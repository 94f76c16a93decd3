export {
  isOptionError,
  isOutcomeUnknown,
  OptionError,
  OutlastError,
  retryInfo,
} from '@outlast/core-retry';
export { classifyHttp, RETRYABLE_ERROR_CODES, RETRYABLE_STATUSES } from './classify.js';
export { download } from './download.js';
export type {
  Download,
  DownloadOptions,
  DownloadProgress,
  DownloadRequest,
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
export { type HttpRetryOptions, httpRetry } from './options.js';
export type { Resume } from './range.js';
