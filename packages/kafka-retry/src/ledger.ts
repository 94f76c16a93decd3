import {
  DeadlineExceededError,
  type Failure,
  type Reason,
  type RetryInfo,
  type RetryPolicy,
} from '@outlast/core-retry';
import { mark } from '@outlast/core-retry/connector';
import type { PartitionReply } from './produce-request.js';
import {
  type Ending,
  type MessageResult,
  offsetAfter,
  type Part,
  type Publish,
} from './publish.js';

const KEPT_TROUBLES = 9;
const KEPT_DELAYS = 100;
const OPERATION = 'kafka.send';

const results = new WeakMap<object, MessageResult[]>();

/** What became of each message of a `send` that rejected with this error; undefined for a stranger's. */
export function messageResults(error: unknown): readonly MessageResult[] | undefined {
  return typeof error === 'object' && error !== null ? results.get(error) : undefined;
}

/** Every publish that is under way: how it ends, and who is told. */
export class Ledger {
  /** Messages that are under way, in bytes. */
  bytes = 0;
  private readonly pending = new Set<Publish>();
  private readonly policy: RetryPolicy;
  private readonly onFreed: () => void;
  private idle: (() => void)[] = [];

  /** @param onFreed called when bytes have become free, or nothing is under way any more */
  constructor(policy: RetryPolicy, onFreed: () => void) {
    this.policy = policy;
    this.onFreed = onFreed;
  }

  get size(): number {
    return this.pending.size;
  }

  /** In the order in which they began. */
  publishes(): Iterable<Publish> {
    return this.pending;
  }

  /** @param held whether its bytes count from now on; if not, see {@link hold} */
  begin(publish: Publish, held: boolean): void {
    this.pending.add(publish);
    if (held) this.hold(publish);
  }

  /** Its bytes count from now on. */
  hold(publish: Publish): void {
    publish.held = true;
    this.bytes += publish.bytes;
  }

  /** It is not taken at all. */
  refuse(publish: Publish, error: Error, reason: Reason): void {
    this.pending.add(publish);
    this.finish(publish, reason, error);
  }

  /** Resolves when nothing that is under way now is so any more. */
  settled(): Promise<void> {
    if (this.pending.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  /** An attempt of the parts begins. */
  attempt(parts: readonly Part[], attempt: number): void {
    const heard = this.policy.hears('attempt');
    for (const { publish } of parts) {
      if (publish.ended || publish.attempts >= attempt) continue;
      publish.attempts = attempt;
      if (heard) {
        this.policy.emit({ type: 'attempt', ...this.base(), attempt, maxAttempts: Infinity });
      }
    }
  }

  /** An attempt of the parts failed; `delayMs` if there will be another. */
  trouble(
    parts: readonly Part[],
    error: Error,
    failure: Failure,
    attempt: number,
    delayMs: number | undefined,
  ): void {
    const heard = delayMs !== undefined && this.policy.hears('retry');
    const { onRetry } = this.policy.settings;
    for (const { publish } of parts) {
      if (publish.ended) continue;
      publish.troubles.push({ error, failure, attempt });
      if (publish.troubles.length > KEPT_TROUBLES) publish.troubles.shift();
      if (delayMs === undefined) continue;
      publish.delaysMs.push(delayMs);
      if (publish.delaysMs.length > KEPT_DELAYS) publish.delaysMs.shift();
      if (!heard && onRetry === undefined) continue;
      const event = {
        type: 'retry' as const,
        ...this.base(),
        attempt,
        maxAttempts: Infinity,
        delayMs,
        failure,
        error,
      };
      if (heard) this.policy.emit(event);
      try {
        onRetry?.(Object.freeze(event));
      } catch {
        // A hook that throws changes nothing.
      }
    }
  }

  /** The parts of a batch are in the log, the first message of it at the reply's offset. */
  stored(parts: readonly Part[], reply: PartitionReply | undefined): void {
    let before = 0;
    for (const part of parts) {
      if (reply !== undefined && reply.baseOffset !== '-1') {
        part.baseOffset = offsetAfter(reply.baseOffset, before);
      }
      part.reply = reply;
      before += part.records.length;
      if (!part.ended) this.close(part, undefined, 'exhausted');
    }
  }

  /** A part ends without being stored, as far as is known. */
  end(part: Part, ending: Ending, reason: Reason): void {
    if (!part.ended) this.close(part, ending, reason);
  }

  /** A publish ends before its time; `endingOf` says of each open part what is known of it. */
  endAll(
    publish: Publish,
    reason: Reason,
    error: unknown,
    outcomeOf: (part: Part) => Ending['outcome'],
  ): void {
    if (publish.ended) return;
    const last = publish.troubles.at(-1)?.error;
    const surfacing = error ?? last ?? new DeadlineExceededError(OPERATION, publish.totalTimeoutMs);
    // A publish that has not been given partitions yet has no parts.
    if (publish.open === 0) this.finish(publish, reason, surfacing);
    for (const part of [...publish.parts]) {
      if (!part.ended) this.end(part, { error: surfacing, outcome: outcomeOf(part) }, reason);
    }
  }

  private close(part: Part, ending: Ending | undefined, reason: Reason): void {
    const { publish } = part;
    part.ended = true;
    part.ending = ending;
    publish.open -= 1;
    if (publish.open === 0) this.finish(publish, reason, undefined);
  }

  private finish(publish: Publish, reason: Reason, error: unknown): void {
    publish.ended = true;
    publish.unwatch?.();
    this.pending.delete(publish);
    if (publish.held) this.bytes -= publish.bytes;
    const failed = publish.parts.filter((part) => part.ending !== undefined);
    if (failed.length === 0 && error === undefined) this.resolve(publish);
    else this.reject(publish, reason, failed, error);
    if (publish.ticket !== 0) this.vote(publish, reason, failed.length > 0 || error !== undefined);
    this.onFreed();
    if (this.pending.size === 0) for (const tell of this.idle.splice(0)) tell();
  }

  /** One vote a publish, however many attempts; what was cancelled has none. */
  private vote(publish: Publish, reason: Reason, failed: boolean): void {
    const { breaker, clock } = this.policy.settings;
    const elapsedMs = clock.now() - publish.startedAt;
    if (!failed) breaker?.succeeded(publish.ticket, elapsedMs);
    else if (reason === 'cancelled' || reason === 'closed') breaker?.released(publish.ticket);
    else {
      const failure = failureOf(publish, reason);
      breaker?.settle(publish.ticket, failure, publish.troubles.at(-1)?.error, elapsedMs);
    }
  }

  private resolve(publish: Publish): void {
    if (this.policy.hears('success')) {
      this.policy.emit({
        type: 'success',
        ...this.base(),
        attempts: publish.attempts,
        maxAttempts: Infinity,
        elapsedMs: this.policy.settings.clock.now() - publish.startedAt,
      });
    }
    publish.resolve(publish.metadata());
  }

  private reject(publish: Publish, reason: Reason, failed: readonly Part[], given: unknown): void {
    const { clock } = this.policy.settings;
    const { outcome, troubles } = publish;
    const worst = failed.find((part) => part.ending?.outcome === 'unknown') ?? failed[0];
    const several = publish.parts.reduce((sum, part) => sum + part.records.length, 0) > 1;
    const original = given ?? worst?.ending?.error;
    // One error of a connection is many publishes'; each has results of its own.
    const error = several && reason !== 'cancelled' ? copyOf(original) : original;
    const info: RetryInfo = Object.freeze({
      operation: OPERATION,
      attempts: publish.attempts,
      elapsedMs: clock.now() - publish.startedAt,
      delaysMs: Object.freeze(publish.delaysMs.slice()),
      reason,
      outcome,
      failures: Object.freeze(troubles.filter((one) => one.error !== original).slice(-8)),
    });
    const surfacing = mark(error, info, this.policy, publish);
    if (several && typeof surfacing === 'object' && surfacing !== null) {
      results.set(surfacing, publish.results());
    }
    if (reason !== 'cancelled' && reason !== 'closed') this.report(info, surfacing, publish);
    publish.reject(surfacing);
  }

  private report(info: RetryInfo, error: unknown, publish: Publish): void {
    const { attempts, elapsedMs, reason, outcome, failures } = info;
    if (this.policy.hears('exhausted')) {
      const failure = failureOf(publish, reason);
      const end = { attempts, elapsedMs, reason, failure, error, failures };
      this.policy.emit({ type: 'exhausted', ...this.base(), ...end });
    }
    if (outcome === 'unknown' && this.policy.hears('outcomeUnknown')) {
      this.policy.emit({ type: 'outcomeUnknown', ...this.base(), attempts, reason, error });
    }
  }

  private base(): { readonly operation: string; readonly at: number } {
    return { operation: OPERATION, at: this.policy.settings.clock.wallNow() };
  }
}

function failureOf({ troubles, outcome }: Publish, reason: Reason): Failure {
  return (
    troubles.at(-1)?.failure ?? {
      category: reason === 'permanent' ? 'invalid' : 'timeout',
      transient: false,
      outcome,
    }
  );
}

function copyOf(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const fields: PropertyDescriptorMap = Object.getOwnPropertyDescriptors(error);
  fields['stack'] = { configurable: true, writable: true, enumerable: false, value: error.stack };
  return Object.create(Object.getPrototypeOf(error), fields) as Error;
}
