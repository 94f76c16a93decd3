import * as driver from 'axios';
import { expect, it } from 'vitest';
import retrying, * as ours from '../src/index.js';

it('exports everything that axios does, default export included', () => {
  for (const key of Object.keys(driver)) expect(Object.keys(ours)).toContain(key);
  const { AxiosError, AxiosHeaders, CanceledError, isAxiosError, mergeConfig } = driver;
  expect(ours).toMatchObject({
    AxiosError,
    AxiosHeaders,
    CanceledError,
    isAxiosError,
    mergeConfig,
  });
});

it('has the default export of axios, with everything on it', () => {
  for (const key of Reflect.ownKeys(driver.default)) expect(key in retrying).toBe(true);
  expect(Reflect.get(retrying, 'default')).toBe(retrying);
  expect(retrying.isAxiosError).toBe(driver.isAxiosError);
  expect(retrying.defaults).toBe(driver.default.defaults);
  expect(typeof retrying).toBe('function');
});

it('adds no name that axios may want', () => {
  const own = Object.keys(ours).filter((key) => !(key in driver));
  expect(own.sort()).toEqual([
    'DiskFullError',
    'EncodedBodyError',
    'HashMismatchError',
    'HttpStatusError',
    'IDEMPOTENCY_HEADERS',
    'IncompleteBodyError',
    'OptionError',
    'OutlastError',
    'RETRYABLE_ERROR_CODES',
    'RETRYABLE_STATUSES',
    'RedirectRefusedError',
    'UnexpectedHtmlError',
    'WrongSizeError',
    'classifyHttp',
    'download',
    'httpRetry',
    'isDiskFullError',
    'isOptionError',
    'isOutcomeUnknown',
    'retryInfo',
    'throwForStatus',
    'withRetry',
  ]);
});
