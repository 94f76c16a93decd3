import { isSubmittable } from './submittable.js';

type Callback = (error: unknown, result?: unknown) => void;

/** The callback of a statement, wherever the driver takes it from. */
interface StatementCallback {
  readonly original: Callback;
  /** Has another one called in its place; the caller's config object is not changed. */
  replace(callback: Callback): void;
}

/** Finds the callback among the arguments of `client.query`: the last of them, or `callback` of the config. */
export function callbackIn(args: unknown[]): StatementCallback | undefined {
  const at = args.findIndex((argument, i) => i > 0 && typeof argument === 'function');
  if (at > 0) {
    return {
      original: args[at] as Callback,
      replace(callback) {
        args[at] = callback;
      },
    };
  }
  const [config] = args;
  const original = (config as { callback?: unknown } | null | undefined)?.callback;
  if (typeof original !== 'function' || isSubmittable(config)) return undefined;
  return {
    original: original as Callback,
    replace(callback) {
      args[0] = Object.create(config as object, { callback: { value: callback, writable: true } });
    },
  };
}
