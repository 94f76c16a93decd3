import { flag, invalidOption, nearest, unknownOption } from './options-check.js';

/** What may ride in the options of one SQL statement, beside the driver's own keys. */
export interface QueryExtras {
  /** Running it twice is safe: it is replayed when its answer is lost, whatever its text. */
  readonly idempotent?: boolean;
  /** Aborts the statement: it is stopped on the server, and rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Bound on everything, in milliseconds; the shorter of this and the pool's counts. */
  readonly totalTimeoutMs?: number;
  /** As for the pool, for this statement. */
  readonly resolveWrites?: boolean;
}

/** The names of {@link QueryExtras}: what a driver must not be handed. */
export const EXTRA_KEYS: readonly (keyof QueryExtras)[] = [
  'idempotent',
  'signal',
  'totalTimeoutMs',
  'resolveWrites',
];

/**
 * Reads our keys out of a statement's options; undefined if there are none.
 *
 * @param driverKeys what the driver reads of them, which cannot be a slip of ours
 * @throws OptionError for a flag that is no boolean, and for a name that is all but one of ours
 */
export function queryExtras(
  options: object,
  driverKeys: ReadonlySet<string>,
): QueryExtras | undefined {
  let extras: Record<string, unknown> | undefined;
  for (const key in options) {
    if (driverKeys.has(key)) continue;
    const value = (options as Record<string, unknown>)[key];
    if (value === undefined) continue;
    if (!EXTRA_KEYS.includes(key as keyof QueryExtras)) {
      if (nearest(key, EXTRA_KEYS) === undefined) continue;
      throw unknownOption(`query.${key}`, key, EXTRA_KEYS);
    }
    extras ??= {};
    extras[key] = value;
  }
  if (extras === undefined) return undefined;
  for (const key of ['idempotent', 'resolveWrites']) {
    const value = extras[key];
    const valid = value === undefined ? undefined : flag(value);
    if (valid !== undefined) throw invalidOption(`query.${key}`, value, valid);
  }
  return extras;
}
