import { Bulkhead } from '@outlast/core-retry';

/** A slot of a bulkhead that is kept from one execution to the next, until it is given back. */
export class KeptSlot extends Bulkhead {
  private readonly of: Bulkhead;
  private held = false;
  private over = false;

  constructor(of: Bulkhead) {
    super({ maxConcurrent: 1 });
    this.of = of;
  }

  override tryEnter(): boolean {
    this.held ||= this.of.tryEnter();
    return this.held;
  }

  override async enter(signal?: AbortSignal): Promise<void> {
    if (this.held) return;
    await this.of.enter(signal);
    this.held = true;
    // Whoever waited for it has given up meanwhile.
    if (this.over) this.giveBack();
  }

  override leave(): void {
    // The next execution goes on with it.
  }

  giveBack(): void {
    this.over = true;
    if (!this.held) return;
    this.held = false;
    this.of.leave();
  }
}
