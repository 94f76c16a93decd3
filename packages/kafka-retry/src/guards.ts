import type { EachBatchPayload } from 'kafkajs';

/** What every batch has while it is handled. */
export interface Guard {
  readonly signal: AbortSignal;
  readonly heartbeat: () => Promise<void>;
  /** The group goes on without this member, or it must join again. */
  lost: { readonly error: unknown } | undefined;
  /** It has been left behind: whatever it does has no effect any more. */
  left: boolean;
  /** How long the batch has waited in here for its time, in milliseconds. */
  waitedMs: number;
  /** Tells kafkajs how far it has come: before a heartbeat, for a rebalance commits that, and before it is left. */
  settle: (() => void) | undefined;
}

interface Running {
  readonly controller: AbortController;
  leave(): void;
}

/** Heartbeats and a signal for each batch that is handled. */
export class Guards {
  private readonly heartbeatIntervalMs: number;
  private readonly running = new Set<Running>();

  constructor(heartbeatIntervalMs: number) {
    this.heartbeatIntervalMs = heartbeatIntervalMs;
  }

  async run(payload: EachBatchPayload, work: (guard: Guard) => Promise<void>): Promise<void> {
    const controller = new AbortController();
    const beat = async (): Promise<void> => {
      guard.settle?.();
      try {
        await payload.heartbeat();
      } catch (error) {
        guard.lost = { error };
        controller.abort(error);
        throw error;
      }
    };
    const guard: Guard = {
      signal: controller.signal,
      lost: undefined,
      left: false,
      waitedMs: 0,
      settle: undefined,
      heartbeat: () => beat(),
    };
    // kafkajs lets one through an interval; asked as often as that, it would miss every other one.
    const timer = setInterval(() => void beat().catch(() => {}), this.heartbeatIntervalMs / 3);
    let running: Running | undefined;
    const leaving = new Promise<void>((resolve) => {
      running = {
        controller,
        leave: () => {
          guard.settle?.();
          guard.left = true;
          resolve();
        },
      };
      this.running.add(running);
    });
    try {
      await Promise.race([work(guard), leaving]);
    } finally {
      clearInterval(timer);
      this.running.delete(running as Running);
    }
    // Not a handler's error: kafkajs must know of it to join the group again.
    if (guard.lost !== undefined) throw guard.lost.error;
  }

  abort(reason: unknown): void {
    for (const { controller } of this.running) controller.abort(reason);
  }

  /** kafkajs is told that all of them have returned; what they do from now on is not looked at. */
  leave(): void {
    for (const one of this.running) one.leave();
  }
}
