import { begin } from './begin.js';
import type { CircuitBreakerOptions } from './breaker-options.js';
import { type BreakerEntry, BreakerRegistry, checkNames } from './breaker-registry.js';
import type { BreakerStore } from './breaker-store.js';
import { Bulkhead, type BulkheadStatus } from './bulkhead.js';
import { type CallOptions, narrow, type Work } from './call.js';
import type { BreakerStatus } from './circuit-breaker.js';
import { methodDecorator, type RetryableDecorator } from './decorator.js';
import { OptionError } from './errors.js';
import { EVENT_TYPES, type PolicyEventType, type PolicyListener } from './events.js';
import type { Logger } from './logger.js';
import {
  checkConfig,
  isBudget,
  isBulkhead,
  isPlain,
  type ManagerConfig,
  mergeConfig,
  readManagerConfig,
  type ServiceConfig,
  sameOptions,
  serviceConfigFromEnv,
} from './manager-config.js';
import { DEFAULTS, resolveOptions, type Settings, type Tally } from './options.js';
import { hasMethods, invalidOption, unknownOption, wholeNumber } from './options-check.js';
import { PolicyState } from './policy-state.js';
import { RetryBudget } from './retry-budget.js';

/** Options of a {@link RetryManager}: a configuration, and what all its operations share. */
export interface RetryManagerOptions extends ManagerConfig {
  /** Where breakers come from. Default one of the manager's own. */
  readonly registry?: BreakerRegistry;
  /** Keeps the breakers of the manager's own registry over restarts. Default nowhere. */
  readonly store?: BreakerStore;
  /** How long a call waits for the store, at most, in milliseconds. Default 250. */
  readonly storeWaitMs?: number;
  /** Gets a line for each retry, recovery, failure and change of a breaker. Default none. */
  readonly logger?: Logger;
  /** So many operations and services are kept apart. Default 10 000. */
  readonly maxEntries?: number;
}

/** Whose call it is. */
export interface OperationNames {
  readonly service: string;
  readonly operation: string;
}

/** One call: its names, and any option of a policy, narrowed. */
export interface ManagedCall<T = unknown>
  extends OperationNames,
    Omit<CallOptions<T>, 'operation' | 'breaker'> {
  /** false: without its breaker. Options: of a breaker that is made by this call; one that exists must have the same. */
  readonly breaker?: CircuitBreakerOptions | false;
}

/** How a manager's operations stand: plain data, for a health page. Keys are `service:operation`, or the service. */
export interface ManagerStatus {
  readonly breakers: Readonly<Record<string, BreakerStatus>>;
  readonly operations: Readonly<Record<string, Readonly<Tally>>>;
  readonly budgets: Readonly<Record<string, { readonly balance: number; readonly denied: number }>>;
  readonly bulkheads: Readonly<Record<string, BulkheadStatus>>;
}

/** What the operations of one service share. */
interface Service {
  readonly budget: RetryBudget | undefined;
  readonly bulkhead: Bulkhead | undefined;
  /** What the configuration said when they were made. */
  readonly said: Required<Pick<ServiceConfig, 'budget' | 'bulkhead'>>;
}

/** One operation, resolved. */
interface Unit {
  readonly owner: RetryManager;
  readonly settings: Settings;
  readonly tally: Tally;
  /** The configuration that it was resolved from. */
  readonly version: number;
}

/**
 * Retries, breakers, budgets and bulkheads of everything that a process depends on, by service and
 * operation: made when they are first used, configured in one place, seen on one page.
 */
export class RetryManager {
  private config: ManagerConfig;
  private version = 0;
  private base: Settings;
  private readonly logger: Logger | undefined;
  private readonly registry: BreakerRegistry;
  private readonly state: PolicyState;
  private readonly maxEntries: number;
  private readonly units = new WeakMap<BreakerEntry, Unit>();
  private readonly services = new Map<string, Service>();
  // One object for all breakers of a service: the registry resolves it once. Made anew by `configure`.
  private breakers = new Map<string, CircuitBreakerOptions | undefined>();
  private readonly unlisten: () => void;

  /** @throws OptionError naming the option, the value and what is valid */
  constructor(options: RetryManagerOptions = {}) {
    const { registry, store, storeWaitMs, logger, maxEntries = 10_000, ...config } = options;
    if (registry !== undefined && !hasMethods(registry, ['find', 'make', 'entries'])) {
      throw invalidOption('registry', registry, 'a BreakerRegistry');
    }
    for (const [name, value] of Object.entries({ store, storeWaitMs })) {
      if (registry === undefined || value === undefined) continue;
      throw new OptionError(name, 'belongs to the registry, if one is given.');
    }
    const valid = wholeNumber(1)(maxEntries);
    if (valid !== undefined) throw invalidOption('maxEntries', maxEntries, valid);
    this.config = readManagerConfig(config);
    this.logger = logger;
    this.base = this.resolveBase();
    checkConfig(this.config, this.base);
    const { clock, random } = this.base;
    this.registry =
      registry ??
      new BreakerRegistry({
        maxEntries,
        ...(store && { store }),
        ...(storeWaitMs !== undefined && { storeWaitMs }),
        breaker: { clock, random },
      });
    this.maxEntries = maxEntries;
    this.state = new PolicyState(this.base, 'The manager');
    this.unlisten = this.registry.on((event) => {
      this.state.emitter.relay(event);
      this.base.log?.(event);
    });
  }

  /**
   * Calls `work` under the policy of its operation.
   *
   * @throws what a policy throws, `CircuitOpenError` and `BulkheadFullError` among it; OptionError (as a
   *   rejection) for a bad name or option
   */
  execute<T>(work: Work<T>, call: ManagedCall<T>): Promise<T> {
    try {
      if (typeof call !== 'object' || call === null) {
        throw invalidOption('call', call, 'an object: { service, operation, … }');
      }
      const { service, operation } = call;
      const found = this.registry.find(service, operation);
      const entry = found ?? this.make(call);
      let unit = this.unitOf(entry);
      if (unit === undefined || unit.version !== this.version) {
        // Another user of the registry may have made it.
        if (unit === undefined && found !== undefined) this.mustFit(found, call);
        unit = this.resolve(entry);
      }
      const { settings } = unit;
      if (isPlain(call)) return begin(this.state, settings, work, undefined, settings.signal);
      return this.executeNarrowed(work, call, entry, settings);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** A function of the same signature and name under the policy of an operation; keeps `this`. */
  wrap<This, Args extends unknown[], R>(
    fn: (this: This, ...args: Args) => R | PromiseLike<R>,
    call: Omit<ManagedCall<R>, 'operation'> & { readonly operation?: string },
  ): (this: This, ...args: Args) => Promise<R> {
    const manager = this;
    const named = { ...call, operation: call.operation ?? fn.name };
    checkNames(named.service, named.operation);
    const wrapped = function (this: This, ...args: Args): Promise<R> {
      return manager.execute(() => fn.apply(this, args), named);
    };
    return Object.defineProperty(wrapped, 'name', { value: fn.name, configurable: true });
  }

  /** A standard decorator for methods that return a promise. The operation is the method's name, if none is given. */
  retryable(
    call: Omit<ManagedCall, 'operation' | 'resolve' | 'stop' | 'fallback' | 'retryResult'> & {
      readonly operation?: string;
    },
  ): RetryableDecorator {
    return methodDecorator((method) => this.wrap(method, call));
  }

  /**
   * Adds to the configuration, from a plain object: `retry`, `breaker` (or `circuit_breaker`), `budget`,
   * `bulkhead`, and the same under `services.<name>` and `services.<name>.operations.<name>`. Keys are
   * camelCase in milliseconds, or snake_case in seconds. Later calls use it. A budget or bulkhead of
   * which it says something else is made anew for them; a breaker that exists cannot follow.
   *
   * @throws OptionError for an unknown key, a bad value, or other options of a breaker that exists
   */
  configure(object: ManagerConfig | Readonly<Record<string, unknown>>): void {
    const { config, base, version, breakers } = this;
    try {
      this.config = mergeConfig(config, readManagerConfig(object));
      this.version += 1;
      this.base = this.resolveBase();
      checkConfig(this.config, this.base);
      this.breakers = new Map();
      this.mustAgree(config, breakers);
    } catch (error) {
      Object.assign(this, { config, base, version, breakers });
      throw error;
    }
  }

  /**
   * Adds to the configuration what the environment says of services: `<NAME>_RETRY_…`, `<NAME>_BREAKER_…`.
   *
   * @param services names; or the prefixes of their variables by name
   * @throws OptionError naming the variable, its value and what is valid
   */
  configureFromEnv(
    services: readonly string[] | Readonly<Record<string, string>>,
    env: Readonly<Record<string, string | undefined>> = process.env,
  ): void {
    const prefixes = Array.isArray(services)
      ? services.map((name) => [name, name.toUpperCase().replace(/[^A-Z0-9]+/g, '_')] as const)
      : Object.entries(services as Readonly<Record<string, string>>);
    const read: [string, ServiceConfig][] = prefixes.map(([name, prefix]) => [
      name,
      serviceConfigFromEnv(prefix, env),
    ]);
    this.configure({ services: Object.fromEntries(read) });
  }

  /** How everything stands: plain data. */
  status(): ManagerStatus {
    const budgets: [string, { balance: number; denied: number }][] = [];
    const bulkheads: [string, BulkheadStatus][] = [];
    for (const [name, { budget, bulkhead }] of this.services) {
      if (budget !== undefined) budgets.push([name, budget.status()]);
      if (bulkhead !== undefined) bulkheads.push([name, bulkhead.status()]);
    }
    const operations: [string, Tally][] = [];
    for (const entry of this.registry.entries()) {
      const unit = this.units.get(entry);
      if (unit !== undefined) operations.push([entry.key, { ...unit.tally }]);
    }
    return {
      breakers: this.registry.status(),
      operations: Object.fromEntries(operations),
      budgets: Object.fromEntries(budgets),
      bulkheads: Object.fromEntries(bulkheads),
    };
  }

  /** Closes breakers by hand: all, those of a service, or one. */
  reset(service?: string, operation?: string): void {
    this.registry.reset(service, operation);
  }

  /**
   * Listens to what happens to all operations; `operation` in an event is `service:operation`.
   *
   * @returns how to stop listening
   */
  on<T extends PolicyEventType>(type: T, listener: PolicyListener<T>): () => void {
    if (!EVENT_TYPES.includes(type)) throw unknownOption(`Event '${type}'`, type, EVENT_TYPES);
    if (typeof listener !== 'function') throw invalidOption('listener', listener, 'a function');
    return this.state.emitter.on(type, listener);
  }

  /** Wakes what sleeps, which rejects with `ClosedError`, as do later calls. */
  close(): void {
    this.unlisten();
    this.state.close();
  }

  private unitOf(entry: BreakerEntry): Unit | undefined {
    const { unit } = entry;
    return unit?.owner === this ? (unit as Unit) : this.units.get(entry);
  }

  private executeNarrowed<T>(
    work: Work<T>,
    call: ManagedCall<T>,
    entry: BreakerEntry,
    settings: Settings,
  ): Promise<T> {
    const { service, operation, breaker, ...rest } = call;
    if (breaker) this.mustFit(entry, call);
    const options: CallOptions<T> = { ...rest };
    if (breaker === false) Object.assign(options, { breaker });
    // The configuration has none here, and the call asks for one.
    else if (breaker && settings.breaker === undefined) {
      Object.assign(options, { breaker: entry.breaker });
    }
    const narrowed = narrow(options as CallOptions, settings);
    return begin(this.state, narrowed, work, options, settings.signal);
  }

  /** @throws OptionError if the breaker was made with other options than this call and configuration want */
  private mustFit(entry: BreakerEntry, call: Pick<ManagedCall, 'breaker'>): void {
    const { service, operation } = entry;
    const ofNames = this.breakerOf(this.config, this.breakers, service, operation);
    const wanted = call.breaker ? { ...ofNames, ...call.breaker } : ofNames;
    if (wanted !== undefined) this.registry.mustAgree(entry, wanted);
  }

  private make(call: Pick<ManagedCall, 'service' | 'operation' | 'breaker'>): BreakerEntry {
    const { service, operation, breaker } = call;
    const options = this.breakerOf(this.config, this.breakers, service, operation);
    return this.registry.make(service, operation, breaker ? { ...options, ...breaker } : options);
  }

  private resolve(entry: BreakerEntry): Unit {
    const { service, operation, key, breaker } = entry;
    const { config } = this;
    const tally = this.units.get(entry)?.tally ?? { successes: 0, failures: 0, retries: 0 };
    const ofService = config.services?.[service];
    const ofOperation = ofService?.operations?.[operation];
    const none = (ofOperation?.breaker ?? ofService?.breaker ?? config.breaker) === false;
    const settings = resolveOptions(
      '',
      {
        operation: this.base.operation ?? key,
        ...ofService?.retry,
        ...ofOperation?.retry,
        breaker: none ? false : breaker,
      },
      { ...this.base, ...this.service(service), tally },
    );
    const unit: Unit = { owner: this, settings, tally, version: this.version };
    this.units.set(entry, unit);
    entry.unit = unit;
    return unit;
  }

  /** What a configuration says of the breaker of an operation; undefined leaves it to the registry. */
  private breakerOf(
    config: ManagerConfig,
    known: Map<string, CircuitBreakerOptions | undefined>,
    service: string,
    operation: string,
  ): CircuitBreakerOptions | undefined {
    const ofService = config.services?.[service];
    const own = ofService?.operations?.[operation]?.breaker || undefined;
    const name = ofService?.breaker ? service : '';
    if (!known.has(name)) {
      const common = config.breaker || undefined;
      const more = ofService?.breaker || undefined;
      known.set(name, more === undefined ? common : { ...common, ...more });
    }
    const shared = known.get(name);
    return own === undefined ? shared : { ...shared, ...own };
  }

  /** Breakers that exist, and of which the configuration says something new, cannot follow it. */
  private mustAgree(
    before: ManagerConfig,
    known: Map<string, CircuitBreakerOptions | undefined>,
  ): void {
    for (const entry of this.registry.entries()) {
      if (!this.units.has(entry)) continue;
      const { service, operation } = entry;
      const now = this.breakerOf(this.config, this.breakers, service, operation);
      const then = this.breakerOf(before, known, service, operation);
      if (now !== undefined && !sameOptions(now, then)) this.registry.mustAgree(entry, now);
    }
  }

  private service(name: string): Service {
    const known = this.services.get(name);
    const of = this.config.services?.[name];
    const budget = of?.budget ?? this.config.budget ?? {};
    const bulkhead = of?.bulkhead ?? this.config.bulkhead ?? false;
    const said = { budget, bulkhead };
    const service: Service = {
      said,
      budget: saysTheSame(known?.said.budget, budget) ? known?.budget : this.newBudget(budget),
      bulkhead: saysTheSame(known?.said.bulkhead, bulkhead)
        ? known?.bulkhead
        : newBulkhead(bulkhead),
    };
    if (known !== undefined || of !== undefined || this.services.size < this.maxEntries)
      this.services.set(name, service);
    return service;
  }

  private newBudget(said: Service['said']['budget']): RetryBudget | undefined {
    if (said === false || isBudget(said)) return said || undefined;
    return new RetryBudget({ clock: this.base.clock, ...said });
  }

  private resolveBase(): Settings {
    const { logger } = this;
    const retry = { ...this.config.retry, ...(logger === undefined ? undefined : { logger }) };
    return resolveOptions('retry', retry, DEFAULTS);
  }
}

function newBulkhead(said: Service['said']['bulkhead']): Bulkhead | undefined {
  return said === false || isBulkhead(said) ? said || undefined : new Bulkhead(said);
}

function saysTheSame(a: object | false | undefined, b: object | false): boolean {
  return a === b || (a !== undefined && a !== false && b !== false && sameOptions(a, b));
}
