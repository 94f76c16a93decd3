import type { CallOptions, Resolution } from './call.js';
import type { ClosedError } from './errors.js';
import { quiet } from './events.js';
import type { Failure } from './failure.js';
import { neverSent } from './judge.js';
import type { Reason } from './marks.js';
import { decide } from './rule.js';
import { type Host, Story, Unwanted } from './story.js';

/** What waits, and is woken by `close()`. */
export interface Sleeper {
  wake(error: ClosedError): void;
}

// So many retries without delay run at once; then the event loop gets a turn, or I/O would starve.
const RETRIES_WITHOUT_YIELDING = 8;

/** What a policy lends to operations that may sleep. */
export interface SleepingHost extends Host {
  readonly sleeping: Set<Sleeper>;
}

/** The outcome of thinking over a failure: a value that was found, or go on. */
export type Next<T> = { readonly value: T } | undefined;

/** An operation that waits without blocking: it sleeps, asks what became of lost work, and can be given up. */
export class Operation<T> extends Story implements Sleeper {
  declare protected readonly host: SleepingHost;
  declare protected readonly call: CallOptions<T>;
  private undelayed = 0;
  private wakeUp: ((error?: ClosedError) => void) | undefined = undefined;

  /** The attempt brought a value; nobody is told if nobody waits for it any more. */
  override succeeded(): void {
    if (!this.abandoned) super.succeeded();
  }

  /** Thinks over a failure of the current attempt; sleeps if another one shall follow. */
  async afterFailure(error: unknown, timedOut: boolean): Promise<Next<T>> {
    const { attempt, settings, call } = this;
    const knownBefore = !this.sawUnknown;
    const { failure, inner } = this.note(error);
    if (timedOut && call.stop !== undefined) await this.tolerate(() => call.stop?.(attempt));
    // The caller's own functions may abort, and what is awaited may outlast the deadline.
    if (this.abandoned) return undefined;
    this.voteOnAttempt(failure, error);
    // Whatever its own verdict: an inner policy that gave up within this attempt has retried enough.
    if (inner !== undefined && inner.reason !== 'cancelled' && settings.retryIf === undefined) {
      throw this.surface(inner.reason);
    }
    const replaySafe = call.idempotent ?? settings.idempotent;
    // A value that came back has done its work: it is repeated only where that is safe, and never looked up.
    if (Unwanted.is(error) && !replaySafe) throw this.surface('permanent');
    const verdict = decide(failure, replaySafe, call.resolve !== undefined);
    if (verdict === 'surface') {
      throw this.surface(failure.transient ? 'outcome-unknown' : 'permanent');
    }
    if (verdict === 'resolve') {
      const resolution = await this.resolve(failure);
      if (this.abandoned) return undefined;
      if (resolution.outcome === 'applied') return { value: resolution.value };
      // Anything but a clear answer is none.
      if (resolution.outcome !== 'not-applied') throw this.surface('outcome-unknown');
      this.forgive(knownBefore);
    }
    const delayMs = this.plan(failure);
    if (this.abandoned) return undefined;
    if (typeof delayMs === 'string') throw this.surface(delayMs);
    await this.sleep(delayMs);
    return undefined;
  }

  /** The caller aborted or time ran out while an attempt, a delay or a resolution was under way. */
  abandon(reason: Reason, thrown: unknown): unknown {
    const { attempt } = this;
    this.abandoned = true;
    this.wakeUp?.();
    if (this.mayHaveApplied(thrown)) this.sawUnknown = true;
    attempt.abort(thrown);
    return reason === 'deadline' && this.presentable
      ? this.surface('deadline')
      : this.surface(reason, thrown);
  }

  /** Like {@link abandon}, before anything was called. */
  abandonUncalled(reason: Reason, thrown: unknown): unknown {
    this.uncalled = true;
    return this.abandon(reason, thrown);
  }

  /** `close()` was called: a sleeper gives up, an attempt under way may still succeed. */
  wake(error: ClosedError): void {
    this.wakeUp?.(error);
  }

  /** Whether the work that is given up may take effect: its call may know better than its phase. */
  private mayHaveApplied(reason: unknown): boolean {
    const { attempt, call } = this;
    if (this.uncalled || !this.running || neverSent(attempt)) return false;
    try {
      return quiet(call.classify?.(reason, attempt.phase))?.outcome !== 'not-applied';
    } catch {
      return true;
    }
  }

  private async resolve(failure: Failure): Promise<Resolution<T>> {
    let resolution: Resolution<T> = { outcome: 'unknown' };
    await this.tolerate(async () => {
      resolution = (await this.call.resolve?.(failure, this.attempt)) ?? resolution;
    });
    return resolution;
  }

  private async tolerate(step: () => unknown): Promise<void> {
    try {
      await step();
    } catch {
      // A resolver that fails has found out nothing; the error of the operation itself surfaces.
    }
  }

  private sleep(delayMs: number): Promise<void> | undefined {
    const { clock, unref } = this.settings;
    if (delayMs === 0) {
      this.undelayed += 1;
      if (this.undelayed % RETRIES_WITHOUT_YIELDING !== 0) return undefined;
    }
    return new Promise((resolve, reject) => {
      const timer = clock.setTimeout(() => settle(), delayMs, { unref });
      const settle = (error?: ClosedError): void => {
        timer.cancel();
        this.wakeUp = undefined;
        this.host.sleeping.delete(this);
        // Nobody waits for an abandoned operation: its promise is left to the garbage collector.
        if (this.abandoned) return;
        if (error === undefined) resolve();
        else reject(this.surface('closed', error));
      };
      this.wakeUp = settle;
      this.host.sleeping.add(this);
    });
  }
}
