import type { Attempt } from './attempt.js';
import type { CallOptions, Work } from './call.js';
import { ClosedError } from './errors.js';
import type { Phase } from './failure.js';
import { onAbort } from './signal-hub.js';

/** One attempt in block form. */
export interface BlockAttempt extends Attempt {
  /**
   * Does the work of this attempt and returns its value. A failure that will be retried is swallowed:
   * `undefined` is returned when it is time for the next attempt. One that will not be is thrown.
   */
  run<R>(work: Work<R>): Promise<R | undefined>;
}

type Execute = (work: Work<void>, call: CallOptions<void>) => Promise<void>;

/** What an attempt of the execution waits for: how its turn of the loop ended. */
interface Turn {
  readonly attempt: Attempt;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * The attempts of one operation as a sequence; the body of the loop is the work. An ordinary execution
 * runs beside it and decides: its own work is to wait for the turn of the loop.
 */
export class Attempts implements AsyncIterableIterator<BlockAttempt> {
  private readonly execute: Execute;
  private readonly call: CallOptions<void>;
  private readonly leaving = new AbortController();
  private execution: Promise<void> | undefined = undefined;
  private turn: Turn | undefined = undefined;
  private arrived: ((end: 'turn' | 'end') => void) | undefined = undefined;
  /** How the latest run ended; undefined if its turn had none yet. */
  private ran: 'well' | 'badly' | undefined = undefined;

  constructor(execute: Execute, call: CallOptions<void>) {
    this.execute = execute;
    this.call = call;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<BlockAttempt, undefined>> {
    if (this.execution === undefined) await this.begin();
    else if (this.ran !== 'badly') await this.finish();
    this.ran = undefined;
    const { turn } = this;
    if (turn !== undefined) return { done: false, value: new Block(this, turn) };
    // It ended: well, or with what surfaces.
    await this.execution;
    return { done: true, value: undefined };
  }

  /** The loop was left. After a run that went well that is the end of the operation, otherwise it is called off. */
  async return(): Promise<IteratorResult<BlockAttempt, undefined>> {
    if (this.ran === 'well') await this.finish();
    else this.leaving.abort(new ClosedError('The loop over the attempts'));
    await this.execution?.catch(() => {});
    return { done: true, value: undefined };
  }

  async run<R>(turn: Turn, work: Work<R>): Promise<R | undefined> {
    if (this.turn !== turn) throw new ClosedError('The attempt');
    const working = (async () => await work(turn.attempt))();
    try {
      // While a turn lasts, the execution can only be called off.
      const value = await Promise.race([working, this.execution as Promise<never>]);
      this.ran = 'well';
      return value;
    } catch (error) {
      // What is called off may still fail; nobody is there to hear of it.
      working.catch(() => {});
      if (this.turn !== turn) throw error;
      this.ran = 'badly';
      this.turn = undefined;
      const end = await this.until(() => turn.failed(error));
      if (end === 'end') await this.execution;
      return undefined;
    }
  }

  private async begin(): Promise<void> {
    const { signal } = this.call;
    const { leaving } = this;
    let off: (() => void) | undefined;
    if (signal?.aborted === true) leaving.abort(signal.reason);
    else if (signal !== undefined) off = onAbort(signal, (reason) => leaving.abort(reason));
    const waiting: Work<void> = (attempt) =>
      new Promise<void>((done, failed) => {
        this.turn = { attempt, done, failed };
        this.arrived?.('turn');
      });
    await this.until(() => {
      this.execution = this.execute(waiting, { ...this.call, signal: leaving.signal });
      const end = (): void => {
        off?.();
        this.turn = undefined;
        this.arrived?.('end');
      };
      this.execution.then(end, end);
    });
  }

  private async finish(): Promise<void> {
    const { turn } = this;
    if (turn === undefined) return;
    this.turn = undefined;
    await this.until(() => turn.done());
  }

  /** Takes a step that brings the next turn or the end, and waits for it. */
  private until(step: () => void): Promise<'turn' | 'end'> {
    return new Promise((resolve) => {
      this.arrived = resolve;
      step();
    });
  }
}

class Block implements BlockAttempt {
  private readonly attempts: Attempts;
  private readonly turn: Turn;

  constructor(attempts: Attempts, turn: Turn) {
    this.attempts = attempts;
    this.turn = turn;
  }

  run<R>(work: Work<R>): Promise<R | undefined> {
    return this.attempts.run(this.turn, work);
  }

  get number(): number {
    return this.turn.attempt.number;
  }

  get signal(): AbortSignal {
    return this.turn.attempt.signal;
  }

  get remainingMs(): number {
    return this.turn.attempt.remainingMs;
  }

  get phase(): Phase {
    return this.turn.attempt.phase;
  }

  set phase(phase: Phase) {
    this.turn.attempt.phase = phase;
  }
}
