import { OptionError } from '@outlast/core-retry';
import { invalidOption } from '@outlast/core-retry/connector';

/** Variables of the process, or of a test. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A variable of MLflow's own, what of ours it stands for, and how. */
interface Translation {
  readonly from: string;
  readonly to: string;
  readonly value: (seconds: number, env: Environment) => number;
  readonly whole?: boolean;
}

/**
 * What Python's client is told of retries, in our words: n retries are n + 1 attempts; its jitter is so many
 * seconds on top of each delay, ours a part of it. Ours win where both are set.
 */
const TRANSLATIONS: readonly Translation[] = [
  {
    from: 'MLFLOW_HTTP_REQUEST_MAX_RETRIES',
    to: 'MLFLOW_RETRY_MAX_ATTEMPTS',
    value: (retries) => retries + 1,
    whole: true,
  },
  {
    from: 'MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR',
    to: 'MLFLOW_RETRY_BASE_DELAY',
    value: (factor) => factor,
  },
  {
    from: 'MLFLOW_HTTP_REQUEST_BACKOFF_JITTER',
    to: 'MLFLOW_RETRY_JITTER',
    value: (jitter, env) => {
      const base = Number(text(env, 'MLFLOW_RETRY_BASE_DELAY') ?? text(env, BACKOFF) ?? 2);
      return base > 0 ? Math.min(1, Math.round((jitter / base) * 1000) / 1000) : 0;
    },
  },
];

const BACKOFF = 'MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR';

/** The environment with MLflow's own variables of retries said in ours. @throws OptionError for a bad value */
export function translated(env: Environment): Environment {
  const more: Record<string, string> = {};
  for (const { from, to, value, whole } of TRANSLATIONS) {
    const given = number(env, from, whole);
    if (given === undefined || text(env, to) !== undefined) continue;
    more[to] = String(value(given, env));
  }
  return { ...env, ...more };
}

/** A number of 0 or more; undefined if it is not set. @throws OptionError */
export function number(env: Environment, name: string, whole = false): number | undefined {
  const given = text(env, name);
  if (given === undefined) return undefined;
  if (/^(\d+\.?\d*|\.\d+)$/.test(given) && !(whole && given.includes('.'))) return Number(given);
  throw invalidOption(
    name,
    given,
    whole ? 'a whole number, 0 or more' : 'a number of seconds, 0 or more',
  );
}

/** @throws OptionError */
export function truth(env: Environment, name: string): boolean | undefined {
  const given = text(env, name);
  if (given === undefined) return undefined;
  if (/^(true|1)$/i.test(given)) return true;
  if (/^(false|0)$/i.test(given)) return false;
  throw new OptionError(name, `must be 'true' or 'false'; got '${given.slice(0, 20)}'.`);
}

/** An empty variable counts as unset. */
export function text(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || undefined;
}
