import { breakerOptionsFromEnv } from './breaker-env.js';
import { type CircuitBreakerOptions, resolveBreaker } from './breaker-options.js';
import { BULKHEAD_OPTIONS, type Bulkhead, type BulkheadOptions } from './bulkhead.js';
import { OptionError } from './errors.js';
import { type RetryOptions, resolveOptions, type Settings } from './options.js';
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
import { BUDGET_OPTIONS, type RetryBudget, type RetryBudgetOptions } from './retry-budget.js';

/** What is said of one operation. */
export interface OperationConfig {
  /** Its breaker, its budget and its bulkhead stand beside it. */
  readonly retry?: Omit<RetryOptions, 'breaker' | 'budget' | 'bulkhead'>;
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

const BESIDE = ['breaker', 'budget', 'bulkhead'] as const;

type Plain = Readonly<Record<string, unknown>>;

const isObject: Check = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? undefined
    : 'an object of options';
const isObjectOrFalse: Check = (value) =>
  value === false || isObject(value) === undefined ? undefined : 'an object of options, or false';

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
const BUDGET_ALIASES: Aliases<RetryBudgetOptions> = {
  min_per_second: ['minPerSecond', asIs],
  ttl: ['ttlMs', inSeconds],
};
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
  const retry = retryOptionsFromEnv([`${name}_RETRY`], env);
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
  for (const key of BESIDE) {
    if ((retry as RetryOptions | undefined)?.[key] === undefined) continue;
    throw new OptionError(`${where}retry.${key}`, `has its place beside retry: ${where}${key}.`);
  }
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
  if (budget === false || isBudget(budget)) return budget;
  return optionsFromObject(budget as Plain, where, BUDGET_OPTIONS, BUDGET_ALIASES);
}

function readBulkhead(
  bulkhead: Bulkhead | BulkheadOptions | false,
  where: string,
): Bulkhead | BulkheadOptions | false {
  if (bulkhead === false || isBulkhead(bulkhead)) return bulkhead;
  const plain = bulkhead as unknown as Plain;
  const options = optionsFromObject(plain, where, BULKHEAD_OPTIONS, BULKHEAD_ALIASES);
  if (options.maxConcurrent === undefined) {
    throw invalidOption(`${where}.maxConcurrent`, undefined, 'a whole number, 1 or more');
  }
  return options;
}

// By shape, so that one of another copy of the package is as good.
export function isBudget(value: RetryBudget | RetryBudgetOptions): value is RetryBudget {
  return hasMethods(value, ['deposit', 'withdraw']);
}

export function isBulkhead(value: Bulkhead | BulkheadOptions): value is Bulkhead {
  return hasMethods(value, ['tryEnter', 'leave']);
}

/**
 * Checks what options mean together, with those of their service and of the manager: what cannot work is
 * to be found now, not at the first call.
 *
 * @param base the settings of the manager
 * @throws OptionError
 */
export function checkConfig(config: ManagerConfig, base: Settings): void {
  const check = (where: string, narrowing: readonly OperationConfig[]): void => {
    const retry = Object.assign({}, ...narrowing.map((one) => one.retry)) as RetryOptions;
    resolveOptions(`${where}retry`, retry, base);
    const breakers = [config, ...narrowing].map((one) => one.breaker || undefined);
    resolveBreaker(`${where}breaker`, Object.assign({}, ...breakers) as CircuitBreakerOptions);
  };
  check('', []);
  for (const [name, service] of Object.entries(config.services ?? {})) {
    check(`services.${name}.`, [service]);
    for (const [key, operation] of Object.entries(service.operations ?? {})) {
      check(`services.${name}.operations.${key}.`, [service, operation]);
    }
  }
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

/** The narrower wins, option by option, and the later over the earlier. */
export function mergeConfig(old: ManagerConfig, more: ManagerConfig): ManagerConfig {
  const services: Record<string, ServiceConfig> = Object.assign(Object.create(null), old.services);
  for (const [name, service] of Object.entries(more.services ?? {})) {
    services[name] = mergeService(services[name] ?? {}, service);
  }
  return { ...mergeService(old, more), services };
}

function mergeService(old: ServiceConfig, more: ServiceConfig): ServiceConfig {
  const operations: Record<string, ServiceConfig> = Object.assign(
    Object.create(null),
    old.operations,
  );
  for (const [name, operation] of Object.entries(more.operations ?? {})) {
    operations[name] = mergeService(operations[name] ?? {}, operation);
  }
  const breaker =
    more.breaker === false || old.breaker === false || more.breaker === undefined
      ? (more.breaker ?? old.breaker)
      : { ...old.breaker, ...more.breaker };
  return {
    ...old,
    ...more,
    retry: { ...old.retry, ...more.retry },
    ...(breaker === undefined ? undefined : { breaker }),
    operations,
  };
}

/** Whether they say the same, key by key. */
export function sameOptions(a: object, b: object | undefined): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b ?? {})]);
  const of = (options: object | undefined, key: string) =>
    (options as Record<string, unknown> | undefined)?.[key];
  return [...keys].every((key) => Object.is(of(a, key), of(b, key)));
}

/** Whether a call says nothing but its names. */
export function isPlain(call: object): boolean {
  for (const key in call) {
    if (key !== 'service' && key !== 'operation' && call[key as keyof typeof call] !== undefined) {
      return false;
    }
  }
  return true;
}
