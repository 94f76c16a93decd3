import {
  type Attempt,
  ClosedError,
  CommitOutcomeUnknownError,
  type Failure,
  type Phase,
  type RetryPolicy,
} from '@outlast/core-retry';
import {
  abortSignal,
  checkOptions,
  duration,
  invalidOption,
  markCall,
  onAbort,
  wholeNumber,
} from '@outlast/core-retry/connector';
import type { Transaction as DriverTransaction } from 'kafkajs';
import { classifyKafka } from './classify.js';
import type { CommitFate } from './end-transaction.js';
import { misuse } from './errors.js';
import { openPatiently, unless } from './patience.js';
import { type AskCommit, classifyOpen, isFenced, OpenTransaction } from './transaction.js';
import type { TransactionSession } from './transaction-session.js';

/** What is sent inside of `producer.transaction(fn)`; it is committed when `fn` has ended well. */
export type Transaction = Pick<
  DriverTransaction,
  'send' | 'sendBatch' | 'sendOffsets' | 'isActive'
>;

/** What `fn` is told beside its transaction. */
export interface TransactionContext {
  /** From 1: `fn` runs again after whatever failed before the commit was sent. */
  readonly attempt: number;
  /** Aborts when the attempt is given up. */
  readonly signal: AbortSignal;
}

/** What runs in a transaction; may run more than once. */
export type TransactionBody<T> = (
  tx: Transaction,
  context: TransactionContext,
) => T | PromiseLike<T>;

/** Bounds of one `producer.transaction(fn)`. */
export interface TransactionOptions {
  /** All runs of `fn`, the first included. Default: as many as there is time for; one with `retry.maxAttempts: 1`. */
  readonly maxAttempts?: number;
  /** Bound on everything, in milliseconds. Default: the producer's, 120 000. */
  readonly totalTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What transactions need of their producer. */
export interface TransactionsHost {
  readonly policy: RetryPolicy;
  readonly transactionalId: string;
  /** How long the first connection of an attempt is waited for, in milliseconds. */
  readonly waitMs: number;
  readonly totalTimeoutMs: number;
  /** One attempt and no waiting. */
  readonly once: boolean;
  open(): TransactionSession;
  /** Resolves when a broker has answered. @throws its latest error, when `limitMs` are over */
  reach(limitMs: number): Promise<void>;
  askCommit(body: Buffer, limitMs: number, signal?: AbortSignal): Promise<CommitFate>;
}

const OPERATION = 'kafka.transaction';
const ASK_COMMIT_MS = 30_000;
const ONGOING =
  'There is already an ongoing transaction for this producer. Please end the transaction before beginning another.';

/** The transactions of one producer: one at a time, on one session that lasts until something of it fails. */
export class Transactions {
  private readonly host: TransactionsHost;
  private session: TransactionSession | undefined;
  /** Of the caller's own, between begin and end. */
  private manual: OpenTransaction | undefined;
  private readonly runs = new Set<AbortController>();
  private line: Promise<void> = Promise.resolve();
  private waiting = 0;
  private fenced: { readonly error: unknown } | undefined;
  private closed = false;

  constructor(host: TransactionsHost) {
    this.host = host;
  }

  /** `connect()`: also after it has been fenced off. */
  reopen(): void {
    this.closed = false;
    this.fenced = undefined;
  }

  /** `producer.transaction()`: kafkajs' own way. Nothing is run again; what fails is not applied, or says so. */
  async begin(): Promise<DriverTransaction> {
    if (this.manual?.active || this.waiting > 0) throw misuse(ONGOING);
    const controller = new AbortController();
    const { clock } = this.host.policy.settings;
    const startedAt = clock.now();
    this.waiting += 1;
    let open: OpenTransaction;
    try {
      open = await this.acquire(controller.signal, this.host.totalTimeoutMs);
    } catch (error) {
      throw this.marked(error, startedAt);
    } finally {
      this.waiting -= 1;
    }
    this.manual = open;
    const told = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => {
      return (...args: A): Promise<R> =>
        work(...args).catch((error: unknown) => {
          this.note(error);
          throw this.marked(error, startedAt);
        });
    };
    const ask: AskCommit = (body) => this.host.askCommit(body, ASK_COMMIT_MS);
    return {
      send: told((record) => open.send(record)),
      sendBatch: told((batch) => open.sendBatch(batch)),
      sendOffsets: told((offsets) => open.sendOffsets(offsets)),
      commit: told(() => open.commit(ask).finally(() => this.leave(open))),
      abort: told(() => open.abort().finally(() => this.leave(open))),
      isActive: () => open.active,
    };
  }

  /** `producer.transaction(fn)`. */
  run<T>(body: TransactionBody<T>, options: TransactionOptions = {}): Promise<T> {
    const { host } = this;
    try {
      check(body, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const { signal, maxAttempts = host.once ? 1 : Infinity } = options;
    const totalTimeoutMs = Math.min(options.totalTimeoutMs ?? Infinity, host.totalTimeoutMs);
    const state: { open: OpenTransaction | undefined } = { open: undefined };
    const controller = new AbortController();
    if (signal?.aborted) controller.abort(signal.reason);
    const unwatch = signal && onAbort(signal, (reason) => controller.abort(reason));
    this.runs.add(controller);
    return host.policy
      .execute((attempt) => this.attempt(attempt, body, state), {
        operation: OPERATION,
        idempotent: false,
        maxAttempts,
        totalTimeoutMs,
        signal: controller.signal,
        classify: (error, phase) => this.classify(error, phase, state.open),
      })
      .finally(() => {
        unwatch?.();
        this.runs.delete(controller);
      });
  }

  /** Waits for what is under way, at most `graceMs`, and opens nothing any more. */
  async close(atMost: (work: Promise<void>) => Promise<void>): Promise<void> {
    this.closed = true;
    if (this.manual?.active) await this.manual.abort().catch(() => {});
    if (this.waiting > 0) await atMost(this.line);
    for (const run of this.runs) run.abort(new ClosedError('The producer'));
    this.session?.discard();
    this.session = undefined;
  }

  private async attempt<T>(
    attempt: Attempt,
    body: TransactionBody<T>,
    state: { open: OpenTransaction | undefined },
  ): Promise<T> {
    const { signal } = attempt;
    // Nothing of it can be in the log for good before the commit is sent.
    attempt.phase = 'acquire';
    state.open = undefined;
    const leave = await this.enter(signal);
    const abort = (): void => {
      void state.open?.cutOff(signal.reason);
      this.tidy(state.open);
      // Its function may go on for as long as it likes; nothing of it is sent.
      leave();
    };
    try {
      if (this.manual?.active) throw misuse(ONGOING);
      const open = await this.acquire(signal, attempt.remainingMs);
      state.open = open;
      signal.addEventListener('abort', abort, { once: true });
      attempt.phase = 'connect';
      const value = await this.body(open, body, attempt);
      attempt.phase = 'commit';
      await open.commit((sent) => this.host.askCommit(sent, attempt.remainingMs, signal));
      return value;
    } catch (error) {
      const cause = state.open?.poison === undefined ? error : state.open.poison.error;
      this.note(cause);
      throw cause;
    } finally {
      signal.removeEventListener('abort', abort);
      this.tidy(state.open);
      leave();
    }
  }

  private async body<T>(
    open: OpenTransaction,
    body: TransactionBody<T>,
    attempt: Attempt,
  ): Promise<T> {
    const tx: Transaction = {
      send: (record) => open.send(record),
      sendBatch: (batch) => open.sendBatch(batch),
      sendOffsets: (offsets) => open.sendOffsets(offsets),
      isActive: () => open.active,
    };
    try {
      return await body(tx, { attempt: attempt.number, signal: attempt.signal });
    } catch (error) {
      if (open.active) await open.abort();
      throw error;
    }
  }

  private classify(error: unknown, phase: Phase, open: OpenTransaction | undefined): Failure {
    if (phase === 'acquire') return { ...classifyKafka(error, 'connect'), outcome: 'not-applied' };
    if (error instanceof CommitOutcomeUnknownError) {
      return { category: 'network', transient: true, outcome: 'unknown', code: error.code };
    }
    // What the callback throws by itself is its own affair.
    const ours = phase === 'commit' || open?.poison !== undefined;
    const failure = classifyOpen(error);
    return { ...failure, transient: ours && failure.transient };
  }

  /** A transaction on a session that works, however long that takes within its bounds. */
  private acquire(signal: AbortSignal, leftMs: number): Promise<OpenTransaction> {
    const { host } = this;
    return openPatiently(() => this.open(), {
      clock: host.policy.settings.clock,
      limitMs: host.once ? 0 : Math.min(host.waitMs, leftMs),
      signal,
      isTransient: (error) => !this.closed && classifyOpen(error).transient,
      reach: (limitMs) => host.reach(limitMs),
    });
  }

  private async open(): Promise<OpenTransaction> {
    if (this.closed) throw new ClosedError('The producer');
    if (this.fenced !== undefined) throw this.fenced.error;
    this.session ??= this.host.open();
    const { session } = this;
    try {
      return new OpenTransaction(await session.begin(), session);
    } catch (error) {
      session.discard();
      if (this.session === session) this.session = undefined;
      throw error;
    }
  }

  /** Waits for its turn; resolves with what ends it. */
  private async enter(signal: AbortSignal): Promise<() => void> {
    const before = this.line;
    let leave = (): void => {};
    const mine = new Promise<void>((resolve) => {
      let left = false;
      leave = () => {
        if (left) return;
        left = true;
        this.waiting -= 1;
        resolve();
      };
    });
    this.waiting += 1;
    this.line = before.then(() => mine);
    try {
      await unless(signal, before);
    } catch (error) {
      leave();
      throw error;
    }
    return leave;
  }

  private leave(open: OpenTransaction): void {
    if (this.manual === open) this.manual = undefined;
    this.tidy(open);
  }

  /** What failed once is not used again: kafkajs keeps numbers and states that no longer hold. */
  private tidy(open: OpenTransaction | undefined): void {
    if (open === undefined || open.sound) return;
    if (open.session === this.session) this.session = undefined;
  }

  /** Whoever took the id over is not to be fenced off in turn: until `connect()` this one is done with. */
  private note(error: unknown): void {
    if (isFenced(error)) this.fenced ??= { error };
  }

  private marked(error: unknown, startedAt: number): unknown {
    const { policy } = this.host;
    const unknown = error instanceof CommitOutcomeUnknownError;
    const call = {
      operation: OPERATION,
      elapsedMs: policy.settings.clock.now() - startedAt,
      reason: unknown ? 'outcome-unknown' : 'exhausted',
      outcome: unknown ? 'unknown' : 'not-applied',
    } as const;
    return markCall(error, call, this);
  }
}

function check(body: unknown, options: TransactionOptions): void {
  if (typeof body !== 'function') throw invalidOption('transaction(fn)', body, 'a function');
  checkOptions('transaction', options, {
    maxAttempts: wholeNumber(1, true),
    totalTimeoutMs: duration({ min: 1 }),
    signal: abortSignal,
  });
}
