import {
  type Registry as AnyRegistry,
  Counter,
  Gauge,
  register as globalRegister,
  Histogram,
  type Metric,
  type RegistryContentType,
} from 'prom-client';
import { OptionError } from './errors.js';
import { type EventSource, type Listeners, listen } from './event-source.js';
import { LabelBound, OTHER } from './label-bound.js';
import { countDown, LiveStates, type Watch } from './live-states.js';
import { ATTEMPT_BUCKETS, DELAY_BUCKETS, MOST_OPERATIONS, MOST_WORDS } from './metric-defaults.js';
import { type Check, checkOptions, flag, hasMethods, wholeNumber } from './options-check.js';

type Registry = AnyRegistry<RegistryContentType>;

export type { EventSource } from './event-source.js';

export interface PrometheusOptions {
  /** Default: prom-client's global one. */
  readonly register?: Registry;
  /** Of every metric's name. Default `outlast_`. */
  readonly prefix?: string;
  /** Upper bounds of the histograms' buckets, ascending. */
  readonly buckets?: {
    /** Default 1, 2, 3, 4, 5, 7, 10, 15, 20. */
    readonly attempts?: readonly number[];
    /** In seconds. Default 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60. */
    readonly delaySeconds?: readonly number[];
  };
  /** So many names of operations, and of breakers, become labels; further ones are `other`. Default 100. */
  readonly maxOperations?: number;
  /**
   * `false` does not listen to `attempt` and `success`, the two events of a call that succeeds at once:
   * it then costs what it costs unwatched, and only what fails or is retried is counted. Default `true`.
   */
  readonly successes?: boolean;
}

export interface Exporter {
  /** Stops listening. Counts stay as they are; the source's breakers and outages leave the gauges. */
  close(): void;
}

interface Shape {
  readonly prefix: string;
  readonly attempts: readonly number[];
  readonly delaySeconds: readonly number[];
  readonly maxOperations: number;
}

const DEFAULTS: Shape = {
  prefix: 'outlast_',
  attempts: ATTEMPT_BUCKETS,
  delaySeconds: DELAY_BUCKETS,
  maxOperations: MOST_OPERATIONS,
};

const bounds: Check = (value) =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((bound, i) => Number.isFinite(bound) && (i === 0 || bound > value[i - 1]))
    ? undefined
    : 'a list of ascending numbers';

/**
 * Counts what a source reports. Several sources may share a registry and a prefix: they share the
 * metrics. A call that succeeds at once reports two events more than it would unwatched; see `successes`.
 *
 * @throws OptionError for a bad option; for buckets or maxOperations other than those which the same
 *   registry and prefix already have; if somebody else's metric has one of the names
 */
export function prometheusMetrics(source: EventSource, options: PrometheusOptions = {}): Exporter {
  checkOptions('', options, {
    register: (value) =>
      hasMethods(value, ['registerMetric', 'getSingleMetric'])
        ? undefined
        : 'a Registry of prom-client',
    prefix: (value) =>
      typeof value === 'string' && /^([a-zA-Z_:][\w:]*)?$/.test(value)
        ? undefined
        : 'the beginning of a metric name: letters, digits, _ and :',
    buckets: undefined,
    maxOperations: wholeNumber(1),
    successes: flag,
  });
  checkOptions('buckets', options.buckets ?? {}, { attempts: bounds, delaySeconds: bounds });
  const metrics = metricsOf(options.register ?? globalRegister, options);
  const watch = metrics.live.join();
  try {
    const stop = listen(source, listeners(metrics, watch, options.successes ?? true));
    return {
      close: () => {
        stop();
        metrics.live.leave(watch);
      },
    };
  } catch (error) {
    metrics.live.leave(watch);
    throw error;
  }
}

function listeners(metrics: Metrics, watch: Watch, successes: boolean): Listeners {
  const { operations, breakers, words } = metrics;
  return {
    ...(successes ? successListeners(metrics) : undefined),
    retry: (event) => {
      const operation = operations.of(event.operation);
      metrics.retries.inc({ operation, category: words.of(event.failure.category) });
      metrics.delays.observe({ operation }, event.delayMs / 1000);
    },
    exhausted: (event) => {
      const operation = operations.of(event.operation);
      const reason = words.of(event.reason);
      metrics.ended.inc({ operation, result: reason });
      const category = words.of(event.failure.category);
      metrics.exhausted.inc({ operation, reason, category });
      metrics.attemptsEach.observe({ operation }, event.attempts);
    },
    outcomeUnknown: (event) => metrics.unknown.inc({ operation: operations.of(event.operation) }),
    budget: (event) => metrics.denials.inc({ operation: operations.of(event.operation) }),
    breaker: (event) => {
      const breaker = breakers.of(event.operation);
      metrics.transitions.inc({ breaker, from: words.of(event.from), to: words.of(event.to) });
      // One state cannot stand for many breakers.
      if (breaker !== OTHER) watch.breakers.set(breaker, event.to);
    },
    store: (event) =>
      metrics.store.inc({ breaker: breakers.of(event.operation), action: words.of(event.action) }),
    down: (event) => countDown(watch, operations.of(event.operation), 1),
    up: (event) => countDown(watch, operations.of(event.operation), -1),
  };
}

function successListeners(metrics: Metrics): Listeners {
  const { operations } = metrics;
  return {
    attempt: (event) => metrics.attempts.inc({ operation: operations.of(event.operation) }),
    success: (event) => {
      const operation = operations.of(event.operation);
      metrics.ended.inc({ operation, result: 'success' });
      metrics.attemptsEach.observe({ operation }, event.attempts);
    },
  };
}

/** The metrics of one registry and prefix, and what all their sources share. */
type Metrics = ReturnType<typeof makeMetrics>;

function makeMetrics(register: Registry, shape: Shape) {
  const live = new LiveStates();
  const about = <T extends string>(name: string, help: string, ...labelNames: T[]) => {
    const full = shape.prefix + name;
    if (register.getSingleMetric(full) !== undefined) {
      throw new OptionError(
        'prefix',
        `gives ${full}, a name that another metric of the registry has.`,
      );
    }
    return { name: full, help, labelNames, registers: [] };
  };
  const metrics = {
    attempts: new Counter(about('attempts_total', 'Attempts begun.', 'operation')),
    retries: new Counter(
      about('retries_total', 'Failed attempts that were repeated.', 'operation', 'category'),
    ),
    ended: new Counter(
      about('operations_total', 'Operations ended: success, or why not.', 'operation', 'result'),
    ),
    exhausted: new Counter(
      about('exhausted_total', 'Operations failed for good.', 'operation', 'reason', 'category'),
    ),
    unknown: new Counter(
      about('outcome_unknown_total', 'Operations failed that may have taken effect.', 'operation'),
    ),
    denials: new Counter(
      about('budget_denials_total', 'Retries that the budget refused.', 'operation'),
    ),
    transitions: new Counter(
      about('breaker_transitions_total', 'Changes of a breaker.', 'breaker', 'from', 'to'),
    ),
    store: new Counter(
      about('store_failures_total', "Outages of a breaker's store.", 'breaker', 'action'),
    ),
    attemptsEach: new Histogram({
      ...about('operation_attempts', 'Attempts of an operation that ended.', 'operation'),
      buckets: [...shape.attempts],
    }),
    delays: new Histogram({
      ...about('retry_delay_seconds', 'Delays before a retry.', 'operation'),
      buckets: [...shape.delaySeconds],
    }),
    state: new Gauge({
      ...about('breaker_state', '1 for the state that a breaker is in.', 'breaker', 'state'),
      collect() {
        this.reset();
        for (const [breaker, state, count] of live.breakers()) this.set({ breaker, state }, count);
      },
    }),
    down: new Gauge({
      ...about('down', 'Clients that cannot reach their service.', 'operation'),
      collect() {
        this.reset();
        for (const [operation, count] of live.down()) this.set({ operation }, count);
      },
    }),
  };
  const all = Object.values(metrics) as Metric[];
  // All or none: a name that is taken must not leave half of them behind.
  for (const metric of all) register.registerMetric(metric);
  return {
    ...metrics,
    live,
    shape,
    operations: new LabelBound(shape.maxOperations),
    breakers: new LabelBound(shape.maxOperations),
    words: new LabelBound(MOST_WORDS),
    /** False once the registry was cleared. */
    registered: () => {
      const held = new Set(register.getMetricsAsArray() as unknown[]);
      return all.every((metric) => held.has(metric));
    },
  };
}

const byRegister = new WeakMap<Registry, Map<string, Metrics>>();

function metricsOf(register: Registry, options: PrometheusOptions): Metrics {
  const prefix = options.prefix ?? DEFAULTS.prefix;
  const byPrefix = byRegister.get(register) ?? new Map<string, Metrics>();
  byRegister.set(register, byPrefix);
  const { maxOperations, buckets } = options;
  const wanted = Object.entries({ ...buckets, maxOperations }).filter(
    ([, value]) => value !== undefined,
  );
  const known = byPrefix.get(prefix);
  if (known?.registered()) {
    for (const [key, value] of wanted) {
      const has = known.shape[key as keyof Shape];
      if (String(value) === String(has)) continue;
      throw new OptionError(
        key,
        `is ${has} for the ${prefix} metrics of this registry already, so it cannot be ${value}.`,
      );
    }
    return known;
  }
  const metrics = makeMetrics(register, { ...DEFAULTS, ...Object.fromEntries(wanted), prefix });
  byPrefix.set(prefix, metrics);
  return metrics;
}
