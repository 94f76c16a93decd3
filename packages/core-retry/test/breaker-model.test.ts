import {
  type BreakerPermit,
  type BreakerSnapshot,
  CircuitBreaker,
  isCircuitOpenError,
} from '@outlast/core-retry';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { byFailure, failing, SteppedClock } from './breaker-helpers.js';
import { type Admitted, ReferenceBreaker, type ReferenceOptions } from './breaker-reference.js';

const HISTORIES = 10_000;

// All in tenths of the window of time, for that is how finely it forgets.
const STEP_MS = 100;
const rules = fc.constantFrom<Partial<ReferenceOptions>>(
  { failureThreshold: 1 },
  { failureThreshold: 3 },
  { failureRate: 0.5, windowCalls: 4, minimumCalls: 2 },
  { failureRate: 0.6, windowCalls: 5, minimumCalls: 5 },
  { failureRate: 0.5, windowMs: 1000, minimumCalls: 3 },
  { failureRate: 1, windowMs: 1000, minimumCalls: 2, failureThreshold: 3 },
  { slowCallMs: 300, slowCallRate: 0.5, windowCalls: 3, minimumCalls: 2 },
  { slowCallMs: 200, slowCallRate: 0.7, failureRate: 0.7, windowMs: 1000, minimumCalls: 3 },
);
const options: fc.Arbitrary<ReferenceOptions> = fc
  .tuple(
    rules,
    fc.constantFrom(1, 1.5, 2),
    fc.constantFrom(1, 2),
    fc.constantFrom(1, 2, 3),
    fc.constantFrom(400, 60_000),
  )
  .map(([rule, openTimeoutIncrementFactor, halfOpenMaxCalls, successThreshold, probeLeaseMs]) => ({
    ...rule,
    resetTimeoutMs: 1000,
    maxOpenTimeoutMs: 2500,
    openTimeoutIncrementFactor,
    halfOpenMaxCalls,
    successThreshold,
    probeLeaseMs,
  }));

type Kind = 'begin' | 'end' | 'call' | 'pass' | 'isolate' | 'dispose' | 'reset' | 'restore';
// What is rare in life is rare here, or nothing would ever get far.
const FREQUENT: readonly Kind[] = [
  ...Array<Kind>(5).fill('begin'),
  ...Array<Kind>(6).fill('end'),
  ...Array<Kind>(7).fill('call'),
  ...Array<Kind>(6).fill('pass'),
  'isolate',
  'dispose',
  'dispose',
  'reset',
  'restore',
];
const history = fc.array(
  fc.tuple(fc.constantFrom(...FREQUENT), fc.nat({ max: 1000 }), fc.nat({ max: 1000 })),
  { minLength: 5, maxLength: 40, size: 'max' },
);

const END = ['ok', 'fail', 'fail', 'fail', 'hint', 'answer', 'cancel', 'release'] as const;
const pick = <T>(from: readonly T[], n: number): T => from[n % from.length] as T;
const HINT_MS = 2000;

/** `toEqual` costs more than all the rest. */
function same(actual: readonly unknown[], wanted: readonly unknown[]): void {
  if (actual.join(' ') !== wanted.join(' ')) expect(actual).toEqual(wanted);
}

/** The breaker and the reference side by side, under one history. */
class Pair {
  private readonly clock = new SteppedClock();
  private readonly calls: { permit: BreakerPermit; of: CircuitBreaker; reference: Admitted }[] = [];
  private readonly isolations: { dispose(): void; of: CircuitBreaker; held: boolean }[] = [];
  private readonly reference: ReferenceBreaker;
  private breaker: CircuitBreaker;
  private told = 'closed';
  private readonly options: ReferenceOptions;
  private readonly changes: Set<string>;

  constructor(options: ReferenceOptions, changes: Set<string>) {
    this.options = options;
    this.changes = changes;
    this.reference = new ReferenceBreaker(options);
    this.breaker = this.make();
  }

  step(kind: Kind, n: number, m: number): void {
    if (kind === 'begin') this.begin();
    else if (kind === 'end') this.end(n % (this.calls.length || 1), pick(END, m));
    else if (kind === 'call') this.call(pick(END, n));
    else if (kind === 'pass') this.pass(pick([1, 1, 2, 3, 4, 10, 10, 15, 25], n) * STEP_MS);
    else if (kind === 'isolate') this.isolate();
    else if (kind === 'dispose') this.dispose(n);
    else if (kind === 'restore') this.restore(pick([0, 0, 300, -300, 1e7, -1e7], n));
    else {
      this.breaker.reset();
      this.reference.close();
    }
    // Looking has no influence: what time alone did is seen by the next call first.
    if (kind !== 'pass') this.compare();
  }

  private make(snapshot?: BreakerSnapshot): CircuitBreaker {
    const given = { ...this.options, clock: this.clock, jitter: false, classify: byFailure };
    const breaker = new CircuitBreaker(snapshot === undefined ? given : { ...given, snapshot });
    breaker.on('breaker', ({ from, to }) => {
      if (breaker !== this.breaker) return;
      // What it tells has no gaps.
      same([from, to === from], [this.told, false]);
      this.told = to;
      this.changes.add(`${from} > ${to}`);
    });
    return breaker;
  }

  private begin(): void {
    let permit: BreakerPermit | undefined;
    try {
      permit = this.breaker.acquire();
    } catch (error) {
      if (!isCircuitOpenError(error)) throw error;
      const { held, isolations, left } = this.reference;
      same([error.retryAfterMs], [held === 'open' && isolations === 0 ? left : undefined]);
    }
    const reference = this.reference.admit();
    same([permit !== undefined], [reference !== undefined]);
    if (permit === undefined || reference === undefined) return;
    this.calls.push({ permit, of: this.breaker, reference });
  }

  private call(how: (typeof END)[number]): void {
    const before = this.calls.length;
    this.begin();
    if (this.calls.length > before) this.end(before, how);
  }

  private end(index: number, how: (typeof END)[number]): void {
    const [call] = this.calls.splice(index, 1);
    if (call === undefined) return;
    const { permit, reference } = call;
    if (how === 'ok') permit.success();
    else if (how === 'fail') permit.failure(failing());
    else if (how === 'hint') permit.failure(failing({ retryAfterMs: HINT_MS }));
    else if (how === 'answer') permit.failure(failing({ category: 'conflict' }));
    else if (how === 'cancel') permit.failure(failing({ category: 'cancelled' }));
    else permit.release();
    // A call of the process before has nothing to say to this one.
    if (call.of !== this.breaker) return;
    if (how === 'ok' || how === 'answer') this.reference.end(reference, 'success');
    else if (how === 'cancel' || how === 'release') this.reference.end(reference, 'none');
    else this.reference.end(reference, 'failure', how === 'hint' ? HINT_MS : 0);
  }

  private pass(ms: number): void {
    this.clock.sleepSync(ms);
    this.reference.now += ms;
  }

  private isolate(): void {
    const handle = this.breaker.isolate();
    this.isolations.push({ dispose: handle.dispose, of: this.breaker, held: true });
    this.reference.isolations += 1;
  }

  /** The same one may be disposed of many times. */
  private dispose(n: number): void {
    const handle = this.isolations[n % this.isolations.length];
    if (handle === undefined) return;
    handle.dispose();
    if (handle.held && handle.of === this.breaker) this.reference.isolations -= 1;
    handle.held = false;
  }

  private restore(jumpMs: number): void {
    const snapshot = JSON.parse(JSON.stringify(this.breaker.snapshot())) as BreakerSnapshot;
    this.clock.stepMs += jumpMs;
    this.breaker = this.make(snapshot);
    this.reference.restore(jumpMs);
    this.told = this.reference.held;
  }

  private compare(): void {
    const { breaker, reference, clock } = this;
    const status = breaker.status();
    const left =
      reference.held === 'open' && reference.isolations === 0 ? reference.left : undefined;
    same(
      [
        status.state,
        status.failures,
        status.successes,
        status.openTimeoutMs,
        status.halfOpenCalls,
        status.retryAfterMs,
        status.openUntil,
        breaker.state,
        this.told,
        clock.pending,
      ],
      [
        reference.state,
        reference.failures,
        reference.successes,
        reference.openMs,
        reference.probing,
        left,
        left === undefined ? undefined : clock.wallNow() + left,
        reference.state,
        reference.isolations > 0 ? 'isolated' : reference.held,
        0,
      ],
    );
  }
}

it(`behaves as the reference does in ${HISTORIES} histories`, () => {
  const changes = new Set<string>();
  fc.assert(
    fc.property(options, history, (given, steps) => {
      const pair = new Pair(given, changes);
      for (const [kind, n, m] of steps) pair.step(kind, n, m);
    }),
    { numRuns: HISTORIES },
  );
  // The histories have been everywhere.
  expect([...changes].sort()).toEqual([
    'closed > isolated',
    'closed > open',
    'half-open > closed',
    'half-open > isolated',
    'half-open > open',
    'isolated > closed',
    'isolated > half-open',
    'isolated > open',
    'open > closed',
    'open > half-open',
    'open > isolated',
  ]);
});
