import type { Jitter } from './backoff.js';
import { OptionError } from './errors.js';
import { invalidOption, nearest } from './options-check.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What each variable says, by its name without the prefix; later ones override earlier ones. */
export type Variables<T> = Readonly<Record<string, (name: string, text: string) => Partial<T>>>;

/**
 * Reads variables `<PREFIX>_<NAME>`: each is searched prefix by prefix, first found wins; an empty one
 * counts as unset.
 *
 * @returns only the keys that are set
 * @throws OptionError for a bad value, or a name that is nearly one of ours
 */
export function readVariables<T extends object>(
  variables: Variables<T>,
  prefixes: readonly string[],
  env: Environment,
): Partial<T> {
  const options: Partial<T> = {};
  for (const [suffix, read] of Object.entries(variables)) {
    for (const prefix of prefixes) {
      const name = `${prefix}_${suffix}`;
      const text = env[name]?.trim();
      if (text === undefined || text === '') continue;
      Object.assign(options, read(name, text));
      break;
    }
  }
  if (prefixes[0] !== undefined) refuseTypingErrors(prefixes[0], Object.keys(variables), env);
  return options;
}

// Only under the first prefix, which is ours alone: DB_RETRY_… may have other readers.
function refuseTypingErrors(prefix: string, suffixes: readonly string[], env: Environment): void {
  const known = suffixes.map((suffix) => `${prefix}_${suffix}`);
  for (const name of Object.keys(env)) {
    if (!name.startsWith(`${prefix}_`) || known.includes(name) || !env[name]) continue;
    const near = nearest(name, known);
    if (near !== undefined) {
      throw new OptionError(name, `is not an environment variable of ours. Did you mean ${near}?`);
    }
  }
}

export function number(name: string, text: string, min: number, max: number, unit = ''): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  const bounds = max < 1e9 ? `from ${min} to ${max}` : `${min} or more`;
  throw invalidOption(name, text, `a number${unit}, ${bounds}`);
}

export function seconds(name: string, text: string, min: number): number {
  return number(name, text, min, 1e12, ' of seconds') * 1000;
}

export function wholeNumber(name: string, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw invalidOption(name, text, 'a whole number, 1 or more');
}

export function jitter(name: string, text: string): Jitter {
  if (text === 'full' || text === 'equal' || text === 'decorrelated') return text;
  if (text === 'true' || text === 'false') return text === 'true';
  const value = /^(0?\.\d+|0|1|1\.0+|0\.)$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= 1) return value;
  throw invalidOption(
    name,
    text,
    "a ratio from 0 to 1, 'true', 'false', 'full', 'equal' or 'decorrelated'",
  );
}

export function boolean(name: string, text: string): boolean {
  const value = text.toLowerCase();
  if (['true', '1', 'yes', 'on'].includes(value)) return true;
  if (['false', '0', 'no', 'off'].includes(value)) return false;
  throw invalidOption(name, text, "'true' or 'false'");
}
