import { ManualClock } from '@outlast/core-retry/testing';
import { rejection, settled } from '../helpers.js';

/** The library, or a copy of it with a mistake in it. */
export type Build = Pick<
  typeof import('@outlast/core-retry'),
  'CircuitBreaker' | 'RetryPolicy' | 'retryInfo'
>;
export type Probe = keyof typeof PROBES;

type BreakerOptions = NonNullable<ConstructorParameters<Build['CircuitBreaker']>[0]>;
type PolicyOptions = NonNullable<ConstructorParameters<Build['RetryPolicy']>[0]>;

const down = (code = 'ECONNRESET'): Error => Object.assign(new Error(code), { code });

function mustBe(what: string, actual: unknown, wanted: unknown): void {
  if (actual !== wanted) throw new Error(`${what}: ${String(actual)}, not ${String(wanted)}`);
}

/** A breaker that opens with its first failure for a second, and helpers to drive it. */
function breakerOf(build: Build, options: BreakerOptions = {}) {
  const clock = new ManualClock();
  const fixed = { failureThreshold: 1, resetTimeoutMs: 1000, jitter: false, clock } as const;
  const breaker = new build.CircuitBreaker({ ...fixed, ...options });
  const admits = (): boolean => {
    try {
      breaker.acquire();
      return true;
    } catch {
      return false;
    }
  };
  return { clock, breaker, fail: () => breaker.acquire().failure(down()), admits };
}

/** Runs work that fails as scripted under a policy, and counts its calls. */
async function policyRun(
  build: Build,
  options: PolicyOptions,
  errors: readonly unknown[],
  phase: 'acquire' | 'sent' = 'sent',
) {
  const clock = new ManualClock();
  const policy = new build.RetryPolicy({ jitter: false, clock, ...options });
  const delays: number[] = [];
  policy.on('retry', (event) => delays.push(event.delayMs));
  let calls = 0;
  const end = await clock.runUntilSettled(
    settled(
      policy.execute((attempt) => {
        attempt.phase = phase;
        calls += 1;
        const error = errors[calls - 1];
        if (error === undefined) return 'value';
        throw error;
      }),
    ),
  );
  return { calls, delays, error: end.ok ? undefined : end.error };
}

/** Each throws if the build does not keep what its name says. */
export const PROBES = {
  'unsafe work of unknown outcome runs once': async (build: Build) => {
    const { calls, error } = await policyRun(build, { idempotent: false }, [down()]);
    mustBe('calls', calls, 1);
    mustBe('reason', build.retryInfo(error)?.reason, 'outcome-unknown');
  },
  'a final failure is not repeated': async (build: Build) => {
    const { calls } = await policyRun(build, {}, [new TypeError('x is undefined')]);
    mustBe('calls', calls, 1);
  },
  'unsafe work that was never sent runs again': async (build: Build) => {
    const { calls } = await policyRun(build, { idempotent: false }, [down()], 'acquire');
    mustBe('calls', calls, 2);
  },
  'the outcome is unknown once any attempt was': async (build: Build) => {
    const errors = [down(), down('ECONNREFUSED')];
    const { error } = await policyRun(build, { maxAttempts: 2 }, errors);
    mustBe('outcome', build.retryInfo(error)?.outcome, 'unknown');
  },
  'maxAttempts counts all calls': async (build: Build) => {
    const { calls } = await policyRun(
      build,
      { maxAttempts: 2 },
      [1, 2, 3].map(() => down()),
    );
    mustBe('calls', calls, 2);
  },
  'no delay reaches the deadline': async (build: Build) => {
    const { delays } = await policyRun(build, { totalTimeoutMs: 1000 }, [down(), down()]);
    mustBe('delays', delays.length, 0);
  },
  'a failure of before the break has no say': (build: Build) => {
    const { breaker, clock, fail } = breakerOf(build);
    const stale = breaker.acquire();
    fail();
    clock.sleepSync(1000);
    const probe = breaker.acquire();
    stale.failure(down());
    mustBe('state', breaker.state, 'half-open');
    probe.success();
    mustBe('state', breaker.state, 'closed');
  },
  'a success of before the break has no say': (build: Build) => {
    const { breaker, fail } = breakerOf(build, { failureThreshold: 2 });
    const stale = breaker.acquire();
    breaker.reset();
    fail();
    stale.success();
    fail();
    mustBe('state', breaker.state, 'open');
  },
  'half-open admits one': (build: Build) => {
    const { clock, fail, admits } = breakerOf(build);
    fail();
    clock.sleepSync(1000);
    mustBe('first', admits(), true);
    mustBe('second', admits(), false);
  },
  'a probe that hangs gives its place up': (build: Build) => {
    const { clock, fail, admits } = breakerOf(build, { probeLeaseMs: 50 });
    fail();
    clock.sleepSync(1000);
    mustBe('first', admits(), true);
    clock.sleepSync(50);
    mustBe('second', admits(), true);
  },
  'a probe that is late has no vote': (build: Build) => {
    const { breaker, clock, fail } = breakerOf(build, { probeLeaseMs: 50 });
    fail();
    clock.sleepSync(1000);
    const late = breaker.acquire();
    clock.sleepSync(50);
    late.success();
    mustBe('state', breaker.state, 'half-open');
  },
  'a cancelled probe gives its place back': (build: Build) => {
    const { breaker, clock, fail, admits } = breakerOf(build);
    fail();
    clock.sleepSync(1000);
    breaker.acquire().release();
    mustBe('next', admits(), true);
  },
  'cancelled calls do not open it': async (build: Build) => {
    const { breaker } = breakerOf(build);
    const abort = new DOMException('cancelled', 'AbortError');
    await rejection(breaker.execute(() => Promise.reject(abort)));
    mustBe('state', breaker.state, 'closed');
  },
  'half of ten at 50 % open it': (build: Build) => {
    const options = { failureRate: 0.5, windowCalls: 10, failureThreshold: 100 };
    const { breaker, fail } = breakerOf(build, options);
    for (let i = 0; i < 5; i++) breaker.acquire().success();
    for (let i = 0; i < 5; i++) fail();
    mustBe('state', breaker.state, 'open');
  },
  'failures of an hour ago are forgotten': (build: Build) => {
    const options = { failureRate: 0.5, windowMs: 5000, minimumCalls: 5, failureThreshold: 100 };
    const { breaker, clock, fail } = breakerOf(build, options);
    for (let i = 0; i < 4; i++) fail();
    clock.sleepSync(3_600_000);
    fail();
    mustBe('state', breaker.state, 'closed');
  },
  'a breaker that closed begins with its first open time': (build: Build) => {
    const { breaker, clock, fail } = breakerOf(build);
    fail();
    clock.sleepSync(1000);
    breaker.acquire().success();
    fail();
    mustBe('open time', breaker.status().retryAfterMs, 1000);
  },
  'the open time has a bound': (build: Build) => {
    const { breaker, clock, fail } = breakerOf(build, { maxOpenTimeoutMs: 1200 });
    fail();
    clock.sleepSync(1000);
    fail();
    mustBe('open time', breaker.status().retryAfterMs, 1200);
  },
  'an open breaker does not open again': (build: Build) => {
    const { breaker, clock, fail } = breakerOf(build, { failureRate: 1, minimumCalls: 1 });
    const late = breaker.acquire();
    fail();
    clock.sleepSync(400);
    late.failure(down());
    mustBe('remainder', breaker.status().retryAfterMs, 600);
  },
  'an isolation ends once': (build: Build) => {
    const { breaker } = breakerOf(build);
    const first = breaker.isolate();
    breaker.isolate();
    first.dispose();
    first.dispose();
    mustBe('state', breaker.state, 'isolated');
  },
  'a restored breaker waits no longer than its open time': (build: Build) => {
    const { breaker, fail } = breakerOf(build);
    fail();
    const snapshot = breaker.snapshot();
    // A process whose time of day is a day behind.
    const clock = new ManualClock(0, snapshot.savedAt - 86_400_000);
    const restored = new build.CircuitBreaker({ snapshot, clock });
    mustBe('remainder', restored.status().retryAfterMs, 1000);
  },
} satisfies Record<string, (build: Build) => void | Promise<void>>;
