import { type Attributes, type Meter, metrics, type Span, trace } from '@opentelemetry/api';
import { OptionError } from './errors.js';
import { type EventSource, type Listeners, listen } from './event-source.js';
import type { PolicyEvent } from './events.js';
import { LabelBound, OTHER } from './label-bound.js';
import { countDown, LiveStates, type Watch } from './live-states.js';
import { ATTEMPT_BUCKETS, DELAY_BUCKETS, MOST_OPERATIONS, MOST_WORDS } from './metric-defaults.js';
import { checkOptions, flag, hasMethods, wholeNumber } from './options-check.js';
import { spanEvent } from './span-event.js';

export type { EventSource } from './event-source.js';

export interface OpenTelemetryOptions {
  /**
   * `false` for no metrics. Default: `metrics.getMeter('@outlast/core-retry')`, which is silent for ever
   * if it is asked for before the SDK was started.
   */
  readonly meter?: Meter | false;
  /**
   * Whether retries, failures and breakers become events of the active span; but for a deadline, which
   * ends calls outside of their spans. Default `true`.
   */
  readonly spanEvents?: boolean;
  /** So many names of operations, and of breakers, become attributes; further ones are `other`. Default 100. */
  readonly maxOperations?: number;
  /**
   * `false` does not listen to `attempt` and `success`, the two events of a call that succeeds at once:
   * it then costs what it costs unwatched, and only what fails or is retried is counted. Default `true`.
   */
  readonly successes?: boolean;
}

export interface Exporter {
  /** Stops listening. Counts stay as they are; the source's breakers and outages are no longer observed. */
  close(): void;
}

/**
 * Reports what a source does to OpenTelemetry: metrics, and events on the span that is active where it
 * happens. Several sources may share a meter.
 *
 * @throws OptionError for a bad option, or for a maxOperations other than that which the meter already has
 */
export function openTelemetry(source: EventSource, options: OpenTelemetryOptions = {}): Exporter {
  checkOptions('', options, {
    meter: (value) =>
      value === false || hasMethods(value, ['createCounter', 'createHistogram'])
        ? undefined
        : 'a Meter, or false',
    spanEvents: flag,
    maxOperations: wholeNumber(1),
    successes: flag,
  });
  const {
    meter = metrics.getMeter('@outlast/core-retry'),
    spanEvents = true,
    successes = true,
  } = options;
  const stops: (() => void)[] = [];
  const close = (): void => {
    for (const stop of stops.splice(0)) stop();
  };
  try {
    if (meter !== false) {
      const instruments = instrumentsOf(meter, options.maxOperations);
      const watch = instruments.live.join();
      stops.push(() => instruments.live.leave(watch));
      stops.push(listen(source, metricListeners(instruments, watch, successes)));
    }
    if (spanEvents) stops.push(listen(source, SPAN_LISTENERS));
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}

const SPAN_LISTENERS: Listeners = {
  retry: addSpanEvent,
  exhausted: addSpanEvent,
  outcomeUnknown: addSpanEvent,
  breaker: addSpanEvent,
};

function addSpanEvent(event: Parameters<typeof spanEvent>[0]): void {
  // One timer ends the calls of a policy that share a deadline, in the context of whichever call armed
  // it: its span would get the story of another's.
  if ('reason' in event && event.reason === 'deadline') return;
  const span: Span | undefined = trace.getActiveSpan();
  if (!span?.isRecording()) return;
  const { name, attributes } = spanEvent(event);
  span.addEvent(name, attributes);
}

function metricListeners(instruments: Instruments, watch: Watch, successes: boolean): Listeners {
  const { words, breakerOf, operationOf } = instruments;
  const of = (event: PolicyEvent): Attributes => ({ 'outlast.operation': operationOf(event) });
  return {
    ...(successes ? successListeners(instruments, of) : undefined),
    retry: (event) => {
      const operation = of(event);
      instruments.retries.add(1, { ...operation, 'error.type': words.of(event.failure.category) });
      instruments.delays.record(event.delayMs / 1000, operation);
    },
    exhausted: (event) => {
      const operation = of(event);
      instruments.ended.add(1, {
        ...operation,
        'outlast.reason': words.of(event.reason),
        'error.type': words.of(event.failure.category),
      });
      instruments.attemptsEach.record(event.attempts, operation);
    },
    outcomeUnknown: (event) => instruments.unknown.add(1, of(event)),
    budget: (event) => instruments.denials.add(1, of(event)),
    breaker: (event) => {
      const breaker = breakerOf(event);
      instruments.transitions.add(1, {
        'outlast.breaker.name': breaker,
        'outlast.breaker.state': words.of(event.to),
        'outlast.breaker.previous_state': words.of(event.from),
      });
      // One state cannot stand for many breakers.
      if (breaker !== OTHER) watch.breakers.set(breaker, event.to);
    },
    store: (event) =>
      instruments.store.add(1, {
        'outlast.breaker.name': breakerOf(event),
        'outlast.store.action': words.of(event.action),
      }),
    down: (event) => countDown(watch, operationOf(event), 1),
    up: (event) => countDown(watch, operationOf(event), -1),
  };
}

function successListeners(
  instruments: Instruments,
  of: (event: PolicyEvent) => Attributes,
): Listeners {
  return {
    attempt: (event) => instruments.attempts.add(1, of(event)),
    success: (event) => {
      const operation = of(event);
      instruments.ended.add(1, operation);
      instruments.attemptsEach.record(event.attempts, operation);
    },
  };
}

/** The instruments of one meter, and what all their sources share. */
type Instruments = ReturnType<typeof makeInstruments>;

function makeInstruments(meter: Meter, maxOperations: number) {
  const live = new LiveStates();
  const operations = new LabelBound(maxOperations);
  const breakers = new LabelBound(maxOperations);
  const counter = (name: string, unit: string, description: string) =>
    meter.createCounter(`outlast.${name}`, { unit, description });
  const histogram = (
    name: string,
    unit: string,
    description: string,
    bounds: readonly number[],
  ) => {
    const advice = { explicitBucketBoundaries: [...bounds] };
    return meter.createHistogram(`outlast.${name}`, { unit, description, advice });
  };
  const gauge = (name: string, unit: string, description: string) =>
    meter.createObservableUpDownCounter(`outlast.${name}`, { unit, description });
  gauge('breaker.state', '{breaker}', '1 for the state that a breaker is in.').addCallback(
    (result) => {
      for (const [name, state, count] of live.breakers()) {
        result.observe(count, { 'outlast.breaker.name': name, 'outlast.breaker.state': state });
      }
    },
  );
  gauge('down', '{client}', 'Clients that cannot reach their service.').addCallback((result) => {
    for (const [name, count] of live.down()) result.observe(count, { 'outlast.operation': name });
  });
  return {
    live,
    maxOperations,
    words: new LabelBound(MOST_WORDS),
    operationOf: (event: PolicyEvent) => operations.of(event.operation),
    breakerOf: (event: PolicyEvent) => breakers.of(event.operation),
    attempts: counter('attempts', '{attempt}', 'Attempts begun.'),
    retries: counter('retries', '{retry}', 'Failed attempts that were repeated.'),
    ended: counter('operations', '{operation}', 'Operations ended; failed ones with a reason.'),
    unknown: counter(
      'outcomes_unknown',
      '{operation}',
      'Operations failed that may have taken effect.',
    ),
    denials: counter('budget.denials', '{retry}', 'Retries that the budget refused.'),
    transitions: counter('breaker.transitions', '{transition}', 'Changes of a breaker.'),
    store: counter('store.failures', '{failure}', "Outages of a breaker's store."),
    attemptsEach: histogram(
      'operation.attempts',
      '{attempt}',
      'Attempts of an operation that ended.',
      ATTEMPT_BUCKETS,
    ),
    delays: histogram('retry.delay', 's', 'Delays before a retry.', DELAY_BUCKETS),
  };
}

const byMeter = new WeakMap<Meter, Instruments>();

function instrumentsOf(meter: Meter, maxOperations: number | undefined): Instruments {
  const known = byMeter.get(meter);
  if (known === undefined) {
    const made = makeInstruments(meter, maxOperations ?? MOST_OPERATIONS);
    byMeter.set(meter, made);
    return made;
  }
  if (maxOperations !== undefined && maxOperations !== known.maxOperations) {
    throw new OptionError(
      'maxOperations',
      `is ${known.maxOperations} for this meter already, so it cannot be ${maxOperations}.`,
    );
  }
  return known;
}
