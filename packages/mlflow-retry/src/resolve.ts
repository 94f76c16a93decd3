import { randomUUID } from 'node:crypto';
import type { Attempt, Resolution } from '@outlast/core-retry';
import type { CallBounds } from './options.js';
import { sleep } from './sleep.js';
import type { ApiCall, Transport } from './transport.js';
import type { KeyValue } from './types.js';

/** Every create carries it, with a value of its own, so that it can be found again. */
export const OPERATION_TAG = 'outlast.operation';

/**
 * A server may read from a replica, and a request that is late may still be on its way: what is not there is
 * looked for once more after so long.
 */
const LOOK_AGAIN_MS = 500;

/** A tag that only this one call has. */
export function operationTag(): KeyValue {
  return { key: OPERATION_TAG, value: randomUUID() };
}

/**
 * Finds what carries the tag, in a search of runs, versions or logged models. In backquotes: of logged models
 * MLflow finds nothing by a name in double quotes, and says so to nobody.
 */
export function withTag({ key, value }: KeyValue): string {
  return `tags.\`${key}\` = '${value}'`;
}

/** Whether it is ours: made by this very call. */
export function carries(tags: readonly KeyValue[] | undefined, { key, value }: KeyValue): boolean {
  return tags?.some((tag) => tag.key === key && tag.value === value) === true;
}

/**
 * Sends a create. If its answer is lost, what it was to make is looked for, twice, before it is made again; and
 * if the server then says that the name is taken, whether that is by us.
 *
 * @param find what this call has made, if it is there
 */
export function create<T>(
  transport: Transport,
  call: Omit<ApiCall<T>, 'idempotent' | 'resolve' | 'settled'>,
  find: (bounds: CallBounds) => Promise<T | undefined>,
): Promise<T> {
  const { signal } = call.bounds ?? {};
  const { clock } = transport.policy.settings;
  const bounds = (attempt: Attempt): CallBounds => ({
    ...(signal !== undefined && { signal }),
    ...(attempt.remainingMs !== Infinity && { totalTimeoutMs: Math.max(1, attempt.remainingMs) }),
  });
  return transport.json<T>({
    ...call,
    idempotent: false,
    async resolve(attempt): Promise<Resolution<T>> {
      for (const again of [false, true]) {
        if (again) await sleep(clock, LOOK_AGAIN_MS, attempt.signal);
        const value = await find(bounds(attempt));
        if (value !== undefined) return { outcome: 'applied', value };
      }
      return { outcome: 'not-applied' };
    },
    settled: (failure, attempt) =>
      failure.category === 'conflict' ? find(bounds(attempt)) : Promise.resolve(undefined),
  });
}

/** A find that takes "there is none" for an answer. */
export async function unlessMissing<T>(
  transport: Transport,
  found: Promise<T>,
): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (transport.classify(error).category === 'not-found') return undefined;
    throw error;
  }
}
