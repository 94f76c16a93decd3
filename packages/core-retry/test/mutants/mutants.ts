import type { Probe } from './probes.js';

/** One mistake that must never pass: a change of the source, and the probe that finds it. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly from: string;
  readonly to: string;
  readonly probe: Probe;
}

const MACHINE = 'breaker-machine.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'ignore the outcome',
    file: 'rule.ts',
    from: "if (failure.outcome === 'not-applied' || replaySafe) return 'retry';",
    to: "return 'retry';",
    probe: 'unsafe work of unknown outcome runs once',
  },
  {
    name: 'ignore that a failure is final',
    file: 'rule.ts',
    from: "if (!failure.transient) return 'surface';",
    to: '',
    probe: 'a final failure is not repeated',
  },
  {
    name: 'ignore the phase',
    file: 'judge.ts',
    from: '? settings.classify(error, attempt.phase)',
    to: "? settings.classify(error, 'sent')",
    probe: 'unsafe work that was never sent runs again',
  },
  {
    name: 'fold the last attempt only',
    file: 'story.ts',
    from: "if (failure.outcome === 'unknown' && failure !== UNWANTED) this.sawUnknown = true;",
    to: "if (failure !== UNWANTED) this.sawUnknown = failure.outcome === 'unknown';",
    probe: 'the outcome is unknown once any attempt was',
  },
  {
    name: 'one attempt too many',
    file: 'story.ts',
    from: "if (attempt.number >= this.maxAttempts) return 'exhausted';",
    to: "if (attempt.number > this.maxAttempts) return 'exhausted';",
    probe: 'maxAttempts counts all calls',
  },
  {
    name: 'sleep into the deadline',
    file: 'story.ts',
    from: 'if (delayMs >= remaining) return',
    to: 'if (delayMs > remaining) return',
    probe: 'no delay reaches the deadline',
  },
  {
    name: 'a stale failure votes',
    file: MACHINE,
    from: 'if (ticket !== this.generation) return;',
    to: 'if (ticket < 0) return;',
    probe: 'a failure of before the break has no say',
  },
  {
    name: 'failures go on to open it',
    file: MACHINE,
    from: 'if (ticket !== this.generation) return;',
    to: 'if (ticket === 0) return;',
    probe: 'an open breaker does not open again',
  },
  {
    name: 'a stale success votes',
    file: MACHINE,
    from: 'if (ticket === this.generation) {',
    to: 'if (ticket > 0) {',
    probe: 'a success of before the break has no say',
  },
  {
    name: 'half-open admits everybody',
    file: MACHINE,
    from: 'if (this.probing(now) >= halfOpenMaxCalls) return REFUSED;',
    to: '',
    probe: 'half-open admits one',
  },
  {
    name: 'a lease never ends',
    file: MACHINE,
    from: 'this.probes?.set(this.lastProbe, now + probeLeaseMs);',
    to: 'this.probes?.set(this.lastProbe, Infinity);',
    probe: 'a probe that hangs gives its place up',
  },
  {
    name: 'a probe whose lease is over votes',
    file: MACHINE,
    from: 'if (leaseEndsAt <= this.settings.clock.now()) return;',
    to: '',
    probe: 'a probe that is late has no vote',
  },
  {
    name: 'a released probe keeps its place',
    file: MACHINE,
    from: 'if (ticket < 0) this.probes?.delete(ticket);',
    to: '',
    probe: 'a cancelled probe gives its place back',
  },
  {
    name: 'cancelled counts as failure',
    file: 'breaker-vote.ts',
    from: "case 'cancelled':\n      return 'none';",
    to: "case 'cancelled':\n      return 'failure';",
    probe: 'cancelled calls do not open it',
  },
  {
    name: 'the rate is exclusive',
    file: MACHINE,
    from: 'if (failures + ROUNDING >= settings.failureRate * calls) {',
    to: 'if (failures > settings.failureRate * calls) {',
    probe: 'half of ten at 50 % open it',
  },
  {
    name: 'the window never expires',
    file: 'breaker-window.ts',
    from: 'if (now < this.currentEndsAt) return;',
    to: 'if (this.calls > 0) return;',
    probe: 'failures of an hour ago are forgotten',
  },
  {
    name: 'escalation never resets',
    file: MACHINE,
    from: 'this.trips = 0;\n    this.openTimeoutMs',
    to: 'this.openTimeoutMs',
    probe: 'a breaker that closed begins with its first open time',
  },
  {
    name: 'escalation has no bound',
    file: 'backoff.ts',
    from: 'return Math.min(baseDelayMs * backoffFactor ** (retry - 1), maxDelayMs);',
    to: 'return baseDelayMs * backoffFactor ** (retry - 1);',
    probe: 'the open time has a bound',
  },
  {
    name: 'an isolation ends twice',
    file: 'circuit-breaker.ts',
    from: 'if (!held) return;',
    to: '',
    probe: 'an isolation ends once',
  },
  {
    name: 'a snapshot believes its clock',
    file: MACHINE,
    from: 'Math.min(Math.max(0, left), openTimeoutMs)',
    to: 'Math.max(0, left)',
    probe: 'a restored breaker waits no longer than its open time',
  },
];
