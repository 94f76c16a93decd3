import { OptionError } from '@outlast/core-retry';
import { invalidOption, unknownOption, wholeNumber } from '@outlast/core-retry/connector';
import type { CallBounds } from './options.js';
import type { KeyValue } from './types.js';

/** Tags and params, as Python takes them: values become texts. */
export type Values = Readonly<Record<string, string | number | boolean>>;

const BOUNDS: readonly string[] = ['signal', 'totalTimeoutMs'];

/**
 * The texts that an operation cannot do without.
 *
 * @throws OptionError naming the first that is none, or is empty
 */
export function required(operation: string, texts: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(texts)) {
    if (typeof value === 'string' && value !== '') continue;
    throw invalidOption(`${operation}(${name})`, value, 'a text that is not empty');
  }
}

/** The options of an operation. @throws OptionError for a name that is none of them */
export function optionsOf<T extends CallBounds>(
  operation: string,
  options: T | undefined,
  ...known: (keyof T & string)[]
): T {
  if (options === undefined) return {} as T;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidOption(`${operation}(options)`, options, 'an object of options');
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key as keyof T & string) || BOUNDS.includes(key)) continue;
    throw unknownOption(`${operation}(${key})`, key, [...known, ...BOUNDS]);
  }
  return options;
}

/** Ids of experiments. @throws OptionError */
export function idList(operation: string, ids: unknown): readonly string[] {
  if (Array.isArray(ids) && ids.every((id) => typeof id === 'string' && id !== '')) return ids;
  throw invalidOption(`${operation}(experimentIds)`, ids, "an array of ids such as ['0']");
}

/** A version, which the server wants as a text of digits. @throws OptionError */
export function versionText(operation: string, version: unknown): string {
  const text = typeof version === 'number' ? `${version}` : version;
  if (typeof text === 'string' && /^\d+$/.test(text)) return text;
  throw invalidOption(`${operation}(version)`, version, "a version such as '12' or 12");
}

/** A page's size. @throws OptionError: 0 would bring pages without end and nothing on them */
export function pageSize(operation: string, maxResults: number | undefined): number | undefined {
  const valid = maxResults === undefined ? undefined : wholeNumber(1)(maxResults);
  if (valid !== undefined) throw invalidOption(`${operation}(maxResults)`, maxResults, valid);
  return maxResults;
}

/** @throws OptionError */
export function keyValues(operation: string, name: string, values: Values | undefined): KeyValue[] {
  if (values === undefined) return [];
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw invalidOption(`${operation}(${name})`, values, "an object such as { team: 'vision' }");
  }
  return Object.entries(values).map(([key, value]) => {
    if (['string', 'number', 'boolean'].includes(typeof value)) return { key, value: `${value}` };
    throw new OptionError(
      `${operation}(${name}.${key})`,
      `must be a text, a number, true or false; got ${typeof value}.`,
    );
  });
}
