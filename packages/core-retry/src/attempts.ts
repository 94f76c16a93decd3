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

type End = 'turn' | 'end';

/** What an attempt of the execution waits for: how its turn of the loop ended. */
interface Turn {
  readonly attempt: Attempt;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
  /** What came after it: another turn, or the end. It may come by itself, when time runs out. */
  readonly over: Promise<End>;
  readonly overtake: (by: End) => void;
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
  /** The turn that the execution waits for. */
  private turn: Turn | undefined = undefined;
  /** The turn that the body of the loop has. */
  private given: Turn | undefined = undefined;
  private left = false;
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
    if (this.left) return { done: true, value: undefined };
    if (this.execution === undefined) await this.begin();
    else if (!this.failed) await this.finish();
    this.ran = undefined;
    const { turn } = this;
    this.given = turn;
    if (turn !== undefined) return { done: false, value: new Block(this, turn) };
    // It ended: well, or with what surfaces.
    await this.execution;
    return { done: true, value: undefined };
  }

  /** The loop was left. After a run that went well that is the end of the operation, otherwise it is called off. */
  async return(): Promise<IteratorResult<BlockAttempt, undefined>> {
    this.left = true;
    if (this.ran === 'well') await this.finish();
    else this.leaving.abort(new ClosedError('The loop over the attempts'));
    await this.execution?.catch(() => {});
    return { done: true, value: undefined };
  }

  async run<R>(turn: Turn, work: Work<R>): Promise<R | undefined> {
    if (this.turn !== turn) throw new ClosedError('The attempt');
    const working = (async () => await work(turn.attempt))();
    const end = await Promise.race([
      working.then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      ),
      turn.over,
    ]);
    if (typeof end === 'object') {
      if ('value' in end) {
        // Another run of the turn may have failed: then all of it has.
        if (turn === this.given) this.ran ??= 'well';
        return end.value;
      }
      turn.failed(end.error);
    }
    if (turn === this.given) this.ran = 'badly';
    if ((await turn.over) === 'end') await this.execution;
    return undefined;
  }

  /** Whether the turn of the body is known to have failed: its run did, or its time ran out. */
  private get failed(): boolean {
    return this.ran === 'badly' || (this.ran === undefined && this.turn !== this.given);
  }

  private begin(): Promise<End> {
    const { signal } = this.call;
    const { leaving } = this;
    let off: (() => void) | undefined;
    if (signal?.aborted === true) leaving.abort(signal.reason);
    else if (signal !== undefined) off = onAbort(signal, (reason) => leaving.abort(reason));
    return new Promise((begun) => {
      const arrive = (turn: Turn | undefined): void => {
        const end = turn === undefined ? 'end' : 'turn';
        const before = this.turn;
        this.turn = turn;
        before?.overtake(end);
        begun(end);
      };
      // Without a name of its own, for events would tell it.
      const execution = this.execute(
        (attempt) =>
          new Promise<void>((done, failed) => {
            let overtake: Turn['overtake'] = () => {};
            const over = new Promise<End>((resolve) => {
              overtake = resolve;
            });
            arrive({ attempt, done, failed, over, overtake });
          }),
        { ...this.call, signal: leaving.signal },
      );
      this.execution = execution;
      const end = (): void => {
        off?.();
        arrive(undefined);
      };
      execution.then(end, end);
    });
  }

  private async finish(): Promise<void> {
    const { turn } = this;
    turn?.done();
    await turn?.over;
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
