import { OptionError } from './errors.js';
import { redact } from './redact.js';

/** Says what is valid, if `value` is not; undefined if it is. */
export type Check = (value: unknown) => string | undefined;

/** Every key of T with its check; `undefined` as a check accepts anything. */
export type Known<T> = { readonly [K in keyof Required<T>]: Check | undefined };

/** A duration in milliseconds. */
export function duration(
  limits: { readonly min?: number; readonly infinite?: boolean } = {},
): Check {
  const { min = 0, infinite = false } = limits;
  const valid = `a number of milliseconds, ${min} or more${infinite ? ', or Infinity' : ''}`;
  return (value) =>
    isNumber(value, min, infinite ? Infinity : Number.MAX_VALUE) ? undefined : valid;
}

export function fraction(min: number, max: number): Check {
  return (value) => (isNumber(value, min, max) ? undefined : `a number from ${min} to ${max}`);
}

export function wholeNumber(min: number, infinite = false): Check {
  const valid = `a whole number, ${min} or more${infinite ? ', or Infinity' : ''}`;
  return (value) =>
    (Number.isSafeInteger(value) && (value as number) >= min) || (infinite && value === Infinity)
      ? undefined
      : valid;
}

export const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'true or false');

export const callable: Check = (value) => (typeof value === 'function' ? undefined : 'a function');

export const nonEmptyText: Check = (value) =>
  typeof value === 'string' && value.length > 0 ? undefined : 'a text that is not empty';

/** One of a few texts. */
export function oneOf(...valid: readonly string[]): Check {
  return (value) =>
    valid.includes(value as string) ? undefined : valid.map((text) => `'${text}'`).join(' or ');
}

export const isJitter: Check = (value) =>
  typeof value === 'boolean' ||
  value === 'full' ||
  value === 'equal' ||
  value === 'decorrelated' ||
  (typeof value === 'number' && value >= 0 && value <= 1)
    ? undefined
    : "a ratio from 0 to 1, true, false, 'full', 'equal' or 'decorrelated'";

export const isClock: Check = (value) =>
  hasMethods(value, ['now', 'wallNow', 'setTimeout'])
    ? undefined
    : 'a Clock: { now, wallNow, setTimeout }';

/** By shape, for a signal of another realm is as good. */
export const abortSignal: Check = (value) =>
  hasMethods(value, ['addEventListener', 'removeEventListener']) && 'aborted' in (value as object)
    ? undefined
    : 'an AbortSignal';

export function hasMethods(value: unknown, names: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}

/**
 * Checks an options object: every key known, every value valid. Keys whose value is `undefined` count
 * as not given.
 *
 * @param where how messages name it: `retry` gives `retry.maxAttempts`; '' gives the bare key
 * @throws OptionError naming the option, the value and what is valid
 */
export function checkOptions<T extends object>(where: string, options: T, known: Known<T>): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new OptionError(
      where || 'options',
      `must be an object of options, got ${show(options)}.`,
    );
  }
  for (const key in options) {
    const value: unknown = options[key];
    if (value === undefined) continue;
    const name = where === '' ? key : `${where}.${key}`;
    if (!Object.hasOwn(known, key)) throw unknownOption(name, key, Object.keys(known));
    const valid = known[key as keyof T]?.(value);
    if (valid !== undefined) throw invalidOption(name, value, valid);
  }
}

export function invalidOption(name: string, value: unknown, valid: string): OptionError {
  return new OptionError(name, `must be ${valid}; got ${show(value)}.`);
}

export function unknownOption(name: string, key: string, known: readonly string[]): OptionError {
  const near = nearest(key, known);
  const hint = near === undefined ? `Known are: ${known.join(', ')}.` : `Did you mean ${near}?`;
  return new OptionError(name, `is not an option. ${hint}`);
}

/** The known name that is within two typing errors (a third of a short name), or undefined. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.ceil(name.length / 3) + 1);
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** A value as it may stand in a message: short, typed, without secrets. */
function show(value: unknown): string {
  if (typeof value === 'string') {
    const clean = redact(value);
    return `'${clean.length > 60 ? `${clean.slice(0, 60)}…` : clean}' (string)`;
  }
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') {
    return `${value} (${typeof value})`;
  }
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'object') return Array.isArray(value) ? 'an array' : 'an object';
  return `a ${typeof value}`;
}

function isNumber(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, (previous[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    previous = row;
  }
  return previous[b.length] as number;
}
