import { AttemptState } from './attempt.js';
import type { CallOptions, Work } from './call.js';
import { type Host, Operation } from './operation.js';
import type { Settings } from './options.js';

/**
 * One call of `execute` without a deadline, a signal or attempt timeouts: the success path. It is its
 * own first attempt, which saves an object a call; what a failure needs is made when there is one.
 */
export class Execution<T> extends AttemptState {
  protected readonly host: Host;
  protected readonly settings: Settings;
  protected readonly call: CallOptions<T>;
  protected readonly work: Work<T>;
  protected readonly start: number;
  protected attempt: AttemptState = this;
  protected operation: Operation<T> | undefined;

  constructor(
    host: Host,
    settings: Settings,
    call: CallOptions<T>,
    work: Work<T>,
    start: number,
    deadlineAt: number,
  ) {
    super(1, deadlineAt, settings.clock);
    this.host = host;
    this.settings = settings;
    this.call = call;
    this.work = work;
    this.start = start;
  }

  async run(): Promise<T> {
    if (this.host.emitter.active) this.announceFirst();
    try {
      const value = await this.work(this);
      if (this.host.emitter.active) this.announceSuccess();
      return value;
    } catch (error) {
      return await this.recover(error);
    }
  }

  protected get name(): string {
    return this.call.operation ?? this.settings.operation ?? (this.work.name || 'operation');
  }

  /** From the first failure on. */
  protected async recover(firstError: unknown): Promise<T> {
    const operation = this.operationNow();
    let error = firstError;
    for (let number = 2; ; number++) {
      const found = await operation.afterFailure(error, this.timedOutWith(error));
      if (found !== undefined) return found.value;
      // The caller has been answered; this promise goes nowhere.
      if (operation.abandoned) return undefined as T;
      const attempt = new AttemptState(number, this.deadlineAt, this.settings.clock);
      this.attempt = attempt;
      operation.began(attempt);
      try {
        const value = await this.callOnce(attempt);
        if (this.host.emitter.active && !operation.abandoned) this.announceSuccess();
        return value;
      } catch (thrown) {
        if (operation.abandoned) return undefined as T;
        error = thrown;
      }
    }
  }

  protected callOnce(attempt: AttemptState): T | PromiseLike<T> {
    return this.work(attempt);
  }

  /** Whether the attempt was given up by time, rather than failed by itself. */
  protected timedOutWith(_error: unknown): boolean {
    return false;
  }

  protected operationNow(): Operation<T> {
    this.operation ??= new Operation(
      this.host,
      this.settings,
      this.call,
      this.attempt,
      this.start,
      this.deadlineAt,
      this.name,
    );
    return this.operation;
  }

  protected announceFirst(): void {
    if (!this.host.emitter.has('attempt')) return;
    this.host.emitter.emit({
      type: 'attempt',
      operation: this.name,
      at: this.settings.clock.wallNow(),
      attempt: 1,
      maxAttempts: this.call.maxAttempts ?? this.settings.maxAttempts,
    });
  }

  protected announceSuccess(): void {
    if (!this.host.emitter.has('success')) return;
    const { clock } = this.settings;
    this.host.emitter.emit({
      type: 'success',
      operation: this.name,
      at: clock.wallNow(),
      attempts: this.attempt.number,
      elapsedMs: clock.now() - this.start,
    });
  }
}
