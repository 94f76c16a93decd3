export { isOutcomeUnknown, retryInfo } from '@outlast/core-retry';
