import { type PolicyEventType, type PolicyListener, RetryPolicy } from '@outlast/core-retry';

/**
 * A policy that knows who listens. Commands go past `execute`, whose frame would cost more than a
 * command does; so the client reports what happens itself, and only to those who want to hear it.
 */
export class CommandPolicy extends RetryPolicy {
  private readonly listening = new Map<PolicyEventType, number>();

  override on<T extends PolicyEventType>(type: T, listener: PolicyListener<T>): () => void {
    const off = super.on(type, listener);
    this.count(type, 1);
    let listens = true;
    return () => {
      if (listens) this.count(type, -1);
      listens = false;
      off();
    };
  }

  /** Whether anybody listens to events of this type. */
  heard(type: PolicyEventType): boolean {
    return (this.listening.get(type) ?? 0) > 0;
  }

  private count(type: PolicyEventType, by: number): void {
    this.listening.set(type, (this.listening.get(type) ?? 0) + by);
  }
}
