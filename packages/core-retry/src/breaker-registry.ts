import { StoreHealth, StoreLink } from './breaker-link.js';
import type { BreakerListener } from './breaker-machine.js';
import {
  type BreakerSettings,
  type CircuitBreakerOptions,
  resolveBreaker,
} from './breaker-options.js';
import type { BreakerStore } from './breaker-store.js';
import { type BreakerStatus, CircuitBreaker } from './circuit-breaker.js';
import { OptionError } from './errors.js';
import { type BreakerEvent, callHook, type StoreEvent } from './events.js';
import {
  checkOptions,
  duration,
  hasMethods,
  invalidOption,
  type Known,
  nonEmptyText,
  wholeNumber,
} from './options-check.js';

/** Options of a {@link BreakerRegistry}. */
export interface BreakerRegistryOptions {
  /** So many breakers are kept; then idle ones go. Default 10 000. */
  readonly maxEntries?: number;
  /** Options of every breaker that is made without its own. */
  readonly breaker?: Omit<CircuitBreakerOptions, 'name' | 'snapshot'>;
  /** Where their state is kept over restarts, and shared. Default nowhere. */
  readonly store?: BreakerStore;
  /** How long a call waits for the store, at most, in milliseconds. Default 250. */
  readonly storeWaitMs?: number;
}

/** A breaker in its place. */
export interface BreakerEntry {
  readonly service: string;
  readonly operation: string;
  /** `service:operation`, with a ':' or '%' inside of a name escaped. */
  readonly key: string;
  readonly breaker: CircuitBreaker;
  /** Asked for since the last look for idle ones. */
  used: boolean;
  /** What the manager that used it last keeps of it: a shorter way than its own map. */
  unit: { readonly owner: object } | undefined;
}

type Listener = (event: BreakerEvent | StoreEvent) => void;

const KNOWN: Known<BreakerRegistryOptions> = {
  maxEntries: wholeNumber(1),
  breaker: undefined,
  store: (value) =>
    hasMethods(value, ['load', 'save']) ? undefined : 'a BreakerStore: { load, save }',
  storeWaitMs: duration(),
};

// Entries that are looked at, at most, when one has to go.
const LOOKED_AT = 100;

/**
 * Breakers by service and operation, made when they are first asked for. It is bounded: names that come
 * from outside cannot fill the memory. Only breakers that are closed, idle and without failures go.
 */
export class BreakerRegistry {
  private readonly settings: BreakerSettings;
  private readonly maxEntries: number;
  private readonly store: BreakerStore | undefined;
  private readonly health: StoreHealth;
  private readonly services = new Map<string, Map<string, BreakerEntry>>();
  // In the order of their last turn when one had to go.
  private readonly order = new Set<BreakerEntry>();
  private readonly resolved = new WeakMap<object, BreakerSettings>();
  private listeners: readonly Listener[] = [];
  private readonly relays: readonly BreakerListener[];

  /** @throws OptionError naming the option, the value and what is valid */
  constructor(options: BreakerRegistryOptions = {}) {
    checkOptions('', options, KNOWN);
    this.settings = resolveBreaker('breaker', options.breaker ?? {});
    this.maxEntries = options.maxEntries ?? 10_000;
    this.store = options.store;
    this.health = new StoreHealth(options.storeWaitMs ?? 250);
    const call: Listener = (event) => {
      for (const listener of this.listeners) callHook(listener, event);
    };
    this.relays = [
      { type: 'breaker', call },
      { type: 'store', call },
    ];
  }

  /**
   * The breaker of an operation. If none can go for it, it works and is not kept.
   *
   * @param options of a breaker that is made now; one that exists must have been made with the same
   * @throws OptionError for a bad name, bad options, or other options than it was made with
   */
  get(service: string, operation: string, options?: CircuitBreakerOptions): CircuitBreaker {
    const entry = this.find(service, operation);
    if (entry === undefined) return this.make(service, operation, options).breaker;
    if (options !== undefined) this.mustAgree(entry, options);
    return entry.breaker;
  }

  /** How many are kept. */
  get size(): number {
    return this.order.size;
  }

  /** How each stands, by `service:operation`: plain data. */
  status(): Record<string, BreakerStatus> {
    const status: [string, BreakerStatus][] = [];
    for (const { key, breaker } of this.order) status.push([key, breaker.status()]);
    return Object.fromEntries(status);
  }

  /** Closes breakers by hand: all, those of a service, or one. */
  reset(service?: string, operation?: string): void {
    for (const entry of this.order) {
      if (service !== undefined && entry.service !== service) continue;
      if (operation === undefined || entry.operation === operation) entry.breaker.reset();
    }
  }

  /** Listens to the breakers' changes and to troubles with the store. @returns how to stop */
  on(listener: (event: BreakerEvent | StoreEvent) => void): () => void {
    if (typeof listener !== 'function') throw invalidOption('listener', listener, 'a function');
    const entry: Listener = (event) => listener(event);
    this.listeners = [...this.listeners, entry];
    return () => {
      this.listeners = this.listeners.filter((other) => other !== entry);
    };
  }

  // --- for managers ---------------------------------------------------------------------------------------

  /** Those that are kept. */
  entries(): Iterable<BreakerEntry> {
    return this.order;
  }

  find(service: string, operation: string): BreakerEntry | undefined {
    const entry = this.services.get(service)?.get(operation);
    if (entry !== undefined) entry.used = true;
    return entry;
  }

  make(
    service: string,
    operation: string,
    options: CircuitBreakerOptions | undefined,
  ): BreakerEntry {
    checkNames(service, operation);
    const key = `${escaped(service)}:${escaped(operation)}`;
    const settings = options === undefined ? this.settings : this.resolve(options);
    const breaker = new CircuitBreaker({ name: key }, settings);
    // One copy of the service's name for all of its entries: each call may bring a text of its own.
    const [first] = this.services.get(service)?.values() ?? [];
    const entry: BreakerEntry = {
      service: first?.service ?? service,
      operation,
      key,
      breaker,
      used: true,
      unit: undefined,
    };
    const kept = this.order.size < this.maxEntries || this.evict();
    const link =
      kept && this.store !== undefined
        ? new StoreLink(breaker, this.store, key, this.health)
        : undefined;
    breaker.connect(link, this.relays);
    if (!kept) return entry;
    const operations = this.services.get(service) ?? new Map<string, BreakerEntry>();
    this.services.set(service, operations.set(operation, entry));
    this.order.add(entry);
    return entry;
  }

  /** @throws OptionError if the breaker was made with other options */
  mustAgree(entry: BreakerEntry, options: CircuitBreakerOptions): void {
    const has = entry.breaker.settings;
    const wanted = this.resolve(options);
    for (const key of Object.keys(wanted) as (keyof BreakerSettings)[]) {
      if (Object.is(has[key], wanted[key])) continue;
      throw new OptionError(
        `breaker.${key}`,
        `differs from what the breaker '${entry.key}' was made with: ${String(has[key])}, not ${String(wanted[key])}. Say it once, before its first use, or use another operation name.`,
      );
    }
  }

  /** Makes room, if there is an entry that nobody misses: one turn of grace for those in use. */
  private evict(): boolean {
    let left = Math.min(LOOKED_AT, 2 * this.order.size);
    for (const entry of this.order) {
      if (left === 0) break;
      left -= 1;
      this.order.delete(entry);
      if (!entry.used && entry.breaker.idle) {
        const operations = this.services.get(entry.service);
        operations?.delete(entry.operation);
        if (operations?.size === 0) this.services.delete(entry.service);
        return true;
      }
      entry.used = false;
      this.order.add(entry);
    }
    return false;
  }

  private resolve(options: CircuitBreakerOptions): BreakerSettings {
    const known = this.resolved.get(options);
    if (known !== undefined) return known;
    const { name: _name, snapshot: _snapshot, ...rest } = options;
    const { clock, random, classify } = this.settings;
    const settings = resolveBreaker('breaker', { clock, random, classify, ...rest });
    this.resolved.set(options, settings);
    return settings;
  }
}

/** @throws OptionError */
export function checkNames(service: unknown, operation: unknown): void {
  for (const [what, name] of Object.entries({ service, operation })) {
    const valid = nonEmptyText(name);
    if (valid !== undefined) throw invalidOption(what, name, valid);
  }
}

function escaped(name: string): string {
  return name.replace(/[%:]/g, encodeURIComponent);
}
