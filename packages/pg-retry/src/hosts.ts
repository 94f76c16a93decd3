import type { Clock, Failure, Timer } from '@outlast/core-retry';
import type driver from 'pg';
import type { Destination, HostSettings, Target } from './host-list.js';
import { isTargetError } from './target.js';

/** How long a host may be silent before the next one is tried beside it, in milliseconds. */
const SILENCE_MS = 250;

/** Tells how a dial of one host ended. */
export type Dialled = (error: Error | undefined, client: driver.PoolClient | undefined) => void;

/** Dials one host; `then` is called once. Returns what gives the dial up. */
export type DialHost = (host: Destination, then: Dialled) => () => void;

interface Try {
  readonly at: number;
  readonly wanted: Target;
}

interface HostsOptions extends HostSettings {
  readonly clock: Clock;
  readonly judge: (error: unknown) => Failure;
}

/**
 * Which of several servers is dialled: the one that served last, then the others in their order. A host
 * that is silent for 250 ms does not hold up the next one. The first acceptable connection wins.
 */
export class Hosts {
  /** What the client that is being made must find. */
  wanted: Target;
  readonly target: Target;
  readonly #hosts: readonly Destination[];
  readonly #clock: Clock;
  readonly #judge: (error: unknown) => Failure;
  #first = 0;

  constructor({ hosts, target, clock, judge }: HostsOptions) {
    this.#hosts = hosts;
    this.target = target;
    this.wanted = target;
    this.#clock = clock;
    this.#judge = judge;
  }

  /** Tries the hosts until one accepts. @param spare takes a connection that nobody waits for any more */
  dial(one: DialHost, then: Dialled, spare: (client: driver.PoolClient) => void): void {
    const tries = this.#tries();
    const failed = new Map<string, Error>();
    let next = 0;
    const open = new Map<Try, () => void>();
    let settled = false;
    let silence: Timer | undefined;
    const settle: Dialled = (error, client) => {
      settled = true;
      silence?.cancel();
      for (const giveUp of open.values()) giveUp();
      then(error, client);
    };
    const start = (attempt: Try): void => {
      const { at, wanted } = attempt;
      const host = this.#hosts[at] as Destination;
      next += 1;
      silence?.cancel();
      silence = this.#clock.setTimeout(() => advance(true), SILENCE_MS);
      this.wanted = wanted;
      let ended = false;
      const giveUp = one(host, (error, client) => {
        ended = true;
        open.delete(attempt);
        if (client !== undefined) {
          if (settled) return spare(client);
          this.#first = at;
          return settle(undefined, client);
        }
        if (settled) return;
        failed.set(host.name, error as Error);
        // As libpq has it: who says no to this user is not passed over for another.
        if (!this.#judge(error).transient) return settle(error, undefined);
        advance(false);
      });
      this.wanted = this.target;
      if (!ended) open.set(attempt, giveUp);
    };
    const advance = (silent: boolean): void => {
      const upcoming = tries[next];
      // Where the second round takes anybody, the first must have heard everybody who answers.
      const waits = open.size > 0 && !silent && upcoming?.wanted !== tries[0]?.wanted;
      if (upcoming !== undefined && !waits) start(upcoming);
      else if (open.size === 0) settle(summary(failed, this.target), undefined);
    };
    advance(false);
  }

  #tries(): readonly Try[] {
    const rounds: readonly Target[] =
      this.target === 'prefer-standby' ? ['standby', 'any'] : [this.target];
    const order = this.#hosts.map((_, at) => (at + this.#first) % this.#hosts.length);
    return rounds.flatMap((wanted) => order.map((at) => ({ at, wanted })));
  }

  /** The host that serves is no longer what it must be: the next dial begins elsewhere. */
  passOver(): void {
    this.#first = (this.#first + 1) % this.#hosts.length;
  }
}

/** One clear error that lists each host and why; the driver's own where there is but one. */
function summary(failed: ReadonlyMap<string, Error>, target: Target): Error {
  const errors = [...failed.values()];
  const [only] = errors;
  if (only !== undefined && errors.length === 1 && !isTargetError(only)) return only;
  const reasons = [...failed].map(([name, error]) => `${name} (${messageOf(error)})`);
  const message = `No host serves as '${target}': ${reasons.join(', ')}.`;
  const code = errors.map((error) => (error as { code?: unknown }).code).find(Boolean);
  return Object.assign(new AggregateError(errors, message), code === undefined ? {} : { code });
}

// Node's own error of a dual-stack connect has an empty message.
function messageOf(error: Error & { code?: unknown }): string {
  return error.message || String(error.code ?? error.name);
}
