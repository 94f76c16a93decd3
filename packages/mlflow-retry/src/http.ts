export { classifyError as classifyHttp } from '@outlast/core-retry';
