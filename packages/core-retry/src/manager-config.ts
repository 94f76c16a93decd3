import { breakerOptionsFromEnv } from './breaker-env.js';
import type { CircuitBreakerOptions } from './breaker-options.js';
import { Bulkhead, type BulkheadOptions } from './bulkhead.js';
import type { RetryOptions } from './options.js';
import { type Check, hasMethods, invalidOption, type Known } from './options-check.js';
import { retryOptionsFromEnv } from './options-env.js';
import {
  type Aliases,
  asIs,
  breakerOptionsFromObject,
  inSeconds,
  optionsFromObject,
  retryOptionsFromObject,
} from './options-object.js';
import { RetryBudget, type RetryBudgetOptions } from './retry-budget.js';

/** What is said of one operation. */
export interface OperationConfig {
  readonly retry?: RetryOptions;
  /** false: none. */
  readonly breaker?: CircuitBreakerOptions | false;
}

/** What is said of one service: budget and bulkhead are its operations' together. */
export interface ServiceConfig extends OperationConfig {
  readonly budget?: RetryBudget | RetryBudgetOptions | false;
  readonly bulkhead?: Bulkhead | BulkheadOptions | false;
  readonly operations?: Readonly<Record<string, OperationConfig>>;
}

/** What is said of all services, and of some by name. The narrower wins, option by option. */
export interface ManagerConfig extends Omit<ServiceConfig, 'operations'> {
  readonly services?: Readonly<Record<string, ServiceConfig>>;
}

type Plain = Readonly<Record<string, unknown>>;

const isObjectOrFalse: Check = (value) =>
  value === false || (typeof value === 'object' && value !== null)
    ? undefined
    : 'an object of options, or false';
const isObject: Check = (value) =>
  typeof value === 'object' && value !== null ? undefined : 'an object of options';

const OPERATION: Known<OperationConfig> = { retry: isObject, breaker: isObjectOrFalse };
const SERVICE: Known<ServiceConfig> = {
  ...OPERATION,
  budget: isObjectOrFalse,
  bulkhead: isObjectOrFalse,
  operations: isObject,
};
const MANAGER: Known<ManagerConfig> = {
  ...OPERATION,
  budget: isObjectOrFalse,
  bulkhead: isObjectOrFalse,
  services: isObject,
};

const BREAKER_NAMES = {
  circuit_breaker: ['breaker', asIs],
  circuitBreaker: ['breaker', asIs],
} as const;
const BUDGET_KEYS: Known<RetryBudgetOptions> = {
  ratio: undefined,
  minPerSecond: undefined,
  ttlMs: undefined,
  clock: undefined,
};
const BUDGET_ALIASES: Aliases<RetryBudgetOptions> = {
  min_per_second: ['minPerSecond', asIs],
  ttl: ['ttlMs', inSeconds],
};
const BULKHEAD_KEYS: Known<BulkheadOptions> = { maxConcurrent: undefined, maxQueued: undefined };
const BULKHEAD_ALIASES: Aliases<BulkheadOptions> = {
  max_concurrent: ['maxConcurrent', asIs],
  max_queued: ['maxQueued', asIs],
};

/**
 * Reads a manager's configuration from a plain object: camelCase in milliseconds or snake_case in seconds.
 *
 * @throws OptionError naming the key, the value and what is valid
 */
export function readManagerConfig(object: object): ManagerConfig {
  const config = optionsFromObject(object as Plain, '', MANAGER, BREAKER_NAMES);
  return {
    ...readService(config, ''),
    ...(config.services === undefined
      ? undefined
      : {
          services: named(config.services, 'services', (value, where) => {
            const service = optionsFromObject(value, where, SERVICE, BREAKER_NAMES);
            const { operations } = service;
            return {
              ...readService(service, `${where}.`),
              ...(operations === undefined
                ? undefined
                : { operations: named(operations, `${where}.operations`, readOperation) }),
            };
          }),
        }),
  };
}

/**
 * What the environment says of a service: `<NAME>_RETRY_…` and `<NAME>_BREAKER_…`.
 *
 * @throws OptionError naming the variable, its value and what is valid
 */
export function serviceConfigFromEnv(
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): ServiceConfig {
  const { waitMs: _waitMs, ...retry } = retryOptionsFromEnv([`${name}_RETRY`], env);
  const breaker = breakerOptionsFromEnv(name, env);
  return { retry, ...(breaker === undefined ? undefined : { breaker }) };
}

function readOperation(value: Plain, where: string): OperationConfig {
  const operation = optionsFromObject(value, where, OPERATION, BREAKER_NAMES);
  return readService(operation, `${where}.`);
}

/** The parts that have keys of their own. Instances stay as they are. */
function readService(config: ServiceConfig, where: string): ServiceConfig {
  const { retry, breaker, budget, bulkhead } = config;
  return {
    ...(retry && { retry: retryOptionsFromObject(retry as Plain, `${where}retry`) }),
    ...(breaker !== undefined && {
      breaker: breaker && breakerOptionsFromObject(breaker as Plain, `${where}breaker`),
    }),
    ...(budget !== undefined && { budget: readBudget(budget, `${where}budget`) }),
    ...(bulkhead !== undefined && { bulkhead: readBulkhead(bulkhead, `${where}bulkhead`) }),
  };
}

function readBudget(
  budget: RetryBudget | RetryBudgetOptions | false,
  where: string,
): RetryBudget | RetryBudgetOptions | false {
  if (budget === false || budget instanceof RetryBudget) return budget;
  if (hasMethods(budget, ['deposit', 'withdraw'])) return budget;
  const options = optionsFromObject(budget as Plain, where, BUDGET_KEYS, BUDGET_ALIASES);
  // Made to be thrown away: bad figures are to be found now, not at the first call.
  new RetryBudget(options);
  return options;
}

function readBulkhead(
  bulkhead: Bulkhead | BulkheadOptions | false,
  where: string,
): Bulkhead | BulkheadOptions | false {
  if (bulkhead === false || bulkhead instanceof Bulkhead) return bulkhead;
  const plain = bulkhead as unknown as Plain;
  const options = optionsFromObject(plain, where, BULKHEAD_KEYS, BULKHEAD_ALIASES);
  new Bulkhead(options);
  return options;
}

/** A null prototype, for a service may be called `constructor`. */
function named<T>(
  object: object,
  where: string,
  read: (value: Plain, where: string) => T,
): Readonly<Record<string, T>> {
  const result: Record<string, T> = Object.create(null);
  for (const [name, value] of Object.entries(object)) {
    if (isObject(value) !== undefined) {
      throw invalidOption(`${where}.${name}`, value, 'an object of options');
    }
    result[name] = read(value, `${where}.${name}`);
  }
  return result;
}
