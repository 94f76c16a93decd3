import { readFile, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BulkheadFullError,
  CircuitOpenError,
  type Classify,
  ClosedError,
  classifyError,
  classifySystemError,
  composeClassifiers,
  DeadlineExceededError,
  type ErrorClass,
  type Failure,
  OptionError,
  type RetryOptions,
  retry,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { bench, coded, RESET, rejection, settled } from './helpers.js';

class Busy extends Error {}
class VeryBusy extends Busy {}

/** How often work that always throws this is called. */
async function callsWith(error: unknown, options: RetryOptions): Promise<number> {
  const { clock, policy } = bench(options);
  const work = vi.fn(() => Promise.reject(error));
  await clock.runUntilSettled(settled(policy.execute(work)));
  expect([1, 3]).toContain(work.mock.calls.length);
  return work.mock.calls.length;
}

const RETRIED = 3;
const FINAL = 1;

describe('retryOn, retryCategories, neverRetry, retryIf', () => {
  it.each<[string, unknown, RetryOptions, number]>([
    ['nothing said: unknown errors are transient', new Busy(), {}, RETRIED],
    ['retryOn names its class', new Busy(), { retryOn: [Busy] }, RETRIED],
    ['retryOn names a base class', new VeryBusy(), { retryOn: [Busy] }, RETRIED],
    ['retryOn names a derived class only', new Busy(), { retryOn: [VeryBusy] }, FINAL],
    ['retryOn names others', new Busy(), { retryOn: [RangeError, TypeError] }, FINAL],
    ['retryOn names nobody', coded(RESET), { retryOn: [] }, FINAL],
    ['retryOn makes a permanent error transient', coded('ENOENT'), { retryOn: [Error] }, RETRIED],
    ['retryOn of a programmer’s error', new TypeError('x'), { retryOn: [TypeError] }, RETRIED],
    ['retryCategories names it', coded(RESET), { retryCategories: ['network'] }, RETRIED],
    ['retryCategories names others', coded(RESET), { retryCategories: ['timeout'] }, FINAL],
    ['retryCategories names nobody', coded(RESET), { retryCategories: [] }, FINAL],
    ['… also a permanent one', coded('ENOENT'), { retryCategories: ['not-found'] }, RETRIED],
    ['either is enough', new Busy(), { retryOn: [Busy], retryCategories: ['network'] }, RETRIED],
    ['either is enough', coded(RESET), { retryOn: [Busy], retryCategories: ['network'] }, RETRIED],
    ['neither', coded('ENOENT'), { retryOn: [Busy], retryCategories: ['network'] }, FINAL],
    ['neverRetry against the classifier', new Busy(), { neverRetry: [Busy] }, FINAL],
    ['neverRetry of others', coded(RESET), { neverRetry: [Busy] }, RETRIED],
    [
      'neverRetry against retryOn',
      new VeryBusy(),
      { retryOn: [VeryBusy], neverRetry: [Busy] },
      FINAL,
    ],
    ['neverRetry against retryIf', new Busy(), { retryIf: () => true, neverRetry: [Busy] }, FINAL],
    [
      'neverRetry against retryCategories',
      coded(RESET),
      { retryCategories: ['network'], neverRetry: [Error] },
      FINAL,
    ],
    ['retryIf against retryOn', new Busy(), { retryIf: () => false, retryOn: [Busy] }, FINAL],
    ['retryIf against retryOn', new Busy(), { retryIf: () => true, retryOn: [] }, RETRIED],
    [
      'retryIf against retryCategories',
      coded('ENOENT'),
      { retryIf: () => true, retryCategories: [] },
      RETRIED,
    ],
    ['a thrown text is of no class', 'busy', { retryOn: [Error] }, FINAL],
    ['a thrown null is of no class', null, { retryOn: [Object as ErrorClass] }, FINAL],
  ])('%s', async (_name, error, options, calls) => {
    expect(await callsWith(error, options)).toBe(calls);
  });

  it.each<[string, unknown]>([
    ['a cancellation', new DOMException('stopped', 'AbortError')],
    ['CircuitOpenError', new CircuitOpenError('pg', 5)],
    ['BulkheadFullError', new BulkheadFullError(1, 0)],
    ['ClosedError', new ClosedError('It')],
    ['DeadlineExceededError', new DeadlineExceededError('op', 5)],
    ['OptionError', new OptionError('a', 'is b')],
  ])('3.31 3.4 a broad retryOn is not meant for %s', async (_name, error) => {
    const everything: RetryOptions = {
      retryOn: [Error, Object as ErrorClass],
      retryCategories: ['cancelled', 'unavailable', 'resource-exhausted', 'timeout', 'invalid'],
    };
    expect(await callsWith(error, everything)).toBe(FINAL);
    // Whoever decides by himself has seen it.
    expect(await callsWith(error, { retryIf: () => true })).toBe(RETRIED);
  });

  it('a timeout of one attempt is no such refusal', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 10, retryOn: [Error] });
    const work = vi.fn(() => new Promise(() => {}));
    await clock.runUntilSettled(settled(policy.execute(work)));
    expect(work).toHaveBeenCalledTimes(3);
  });

  it('none of them answers whether it was applied', async () => {
    for (const options of [
      { retryOn: [Error] },
      { retryCategories: ['network'] },
      { retryIf: () => true },
    ] as const) {
      const { policy } = bench({ idempotent: false, ...options });
      const error = await rejection(policy.execute(failTimes([coded(RESET)], 'v')));
      expect(retryInfo(error)).toMatchObject({ reason: 'outcome-unknown', outcome: 'unknown' });
    }
  });

  it('a class whose instanceof throws means: not again, and the error surfaces', async () => {
    class Hostile extends Error {
      static override [Symbol.hasInstance](): boolean {
        throw new Error('hostile');
      }
    }
    for (const options of [{ retryOn: [Hostile] }, { neverRetry: [Hostile] }]) {
      const { policy } = bench(options);
      const thrown = coded(RESET);
      expect(await rejection(policy.execute(failTimes([thrown], 'v')))).toBe(thrown);
    }
  });

  it('of a call are for that call', async () => {
    const { clock, policy } = bench({ retryOn: [Busy] });
    const other = failTimes([coded(RESET)], 'v');
    const end = policy.execute(other, { retryOn: [Error] });
    expect(await clock.runUntilSettled(end)).toBe('v');
    expect(await settled(policy.execute(failTimes([coded(RESET)], 'v')))).toMatchObject({
      ok: false,
    });
  });
});

describe('composeClassifiers', () => {
  const knows =
    (code: string, failure: Failure) =>
    (error: unknown): Failure | undefined =>
      (error as { code?: unknown } | null)?.code === code ? failure : undefined;
  const a: Failure = { category: 'throttled', transient: true, outcome: 'not-applied' };
  const b: Failure = { category: 'conflict', transient: false, outcome: 'not-applied' };

  it('the first that knows the error decides; what nobody knows is read as by a bare policy', () => {
    const classify = composeClassifiers(knows('X', a), knows('X', b), knows('Y', b));
    expect(classify(coded('X'), 'sent')).toBe(a);
    expect(classify(coded('Y'), 'sent')).toBe(b);
    for (const error of [
      coded(RESET),
      new TypeError('x'),
      'text',
      null,
      new CircuitOpenError('a', 1),
    ]) {
      expect(classify(error, 'connect')).toEqual(classifyError(error, 'connect'));
    }
    expect(composeClassifiers()(coded(RESET), 'sent')).toEqual(classifyError(coded(RESET), 'sent'));
  });

  it('hands on the phase, and asks nobody after the one that knew', () => {
    const later = vi.fn();
    const first = vi.fn(() => a);
    composeClassifiers(first, later)('error', 'commit');
    expect(first).toHaveBeenCalledWith('error', 'commit');
    expect(later).not.toHaveBeenCalled();
  });

  it('one that throws means: not again', async () => {
    const bites: Classify = () => {
      throw new Error('classifier');
    };
    expect(await callsWith(coded(RESET), { classify: composeClassifiers(bites) })).toBe(FINAL);
    expect(
      await callsWith(coded('X'), { classify: composeClassifiers(knows('X', a), bites) }),
    ).toBe(RETRIED);
  });

  it.each([undefined, null, {}, 'transient', 5])(
    'a classifier that answers %j stops nothing: the error surfaces',
    async (answer) => {
      const { clock, policy } = bench({ classify: (() => answer) as never });
      const thrown = new Error('x');
      const end = await clock.runUntilSettled(settled(policy.execute(failTimes([thrown], 'v'))));
      expect(end).toEqual({ ok: false, error: thrown });
    },
  );

  it.each(['soon', '5', {}, null, true])('a hint that is no number (%j) is none', async (hint) => {
    const classify = () => ({ ...a, retryAfterMs: hint }) as never;
    const { clock, policy, delays } = bench({ classify });
    expect(await clock.runUntilSettled(policy.execute(failTimes(1, 'v')))).toBe('v');
    expect(delays).toEqual([1000]);
  });
});

describe('classifySystemError on files', () => {
  it.each<[string, boolean, Failure['category']]>([
    ['EBUSY', true, 'unavailable'],
    ['EAGAIN', true, 'unavailable'],
    ['EMFILE', true, 'resource-exhausted'],
    ['ENFILE', true, 'resource-exhausted'],
    ['ENOENT', false, 'not-found'],
    ['ENOTDIR', false, 'not-found'],
    ['EACCES', false, 'auth'],
    ['EPERM', false, 'auth'],
    ['EROFS', false, 'invalid'],
    ['EISDIR', false, 'invalid'],
    ['EEXIST', false, 'conflict'],
    ['ENOTEMPTY', false, 'conflict'],
  ])('%s: transient %s, %s, and never applied', async (code, transient, category) => {
    expect(classifySystemError(coded(code))).toEqual({
      category,
      transient,
      outcome: 'not-applied',
      code,
    });
    // Not applied, so even what is not idempotent may run again.
    expect(await callsWith(coded(code), { idempotent: false })).toBe(transient ? RETRIED : FINAL);
  });

  it('a full disk is not waited for, and something may have been written', () => {
    expect(classifySystemError(coded('ENOSPC'))).toMatchObject({
      transient: false,
      outcome: 'unknown',
    });
  });

  it.each<[string, string, () => Promise<unknown>]>([
    [
      'ENOENT',
      'a file that is not there',
      () => readFile(join(tmpdir(), 'outlast', 'not', 'there')),
    ],
    ['EISDIR', 'a folder read as a file', () => readFile(tmpdir())],
    ['ENOTDIR', 'a folder that is a file', () => readFile(join(process.execPath, 'x'))],
    ['EEXIST', 'a file that must be new', () => writeFile(process.execPath, '', { flag: 'wx' })],
    ['ENOTDIR', 'a file removed as a folder', () => rmdir(process.execPath)],
  ])('a real %s (%s) is final at the first attempt', async (code, _what, work) => {
    const calls = vi.fn(work);
    const error = await rejection(retry(calls));
    expect(error).toMatchObject({ code });
    expect(calls).toHaveBeenCalledTimes(1);
    expect(retryInfo(error)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
  });
});
