import { type Channel, channel } from 'node:diagnostics_channel';
import {
  type PolicyEventType,
  type PolicyListener,
  type RetryOptions,
  RetryPolicy,
} from '@outlast/core-retry';

/**
 * A policy that knows who listens. A publish goes past `execute`, whose frame would cost more than a message
 * in a batch does; so the producer reports what happens itself, and only to those who want to hear it.
 */
export class KafkaPolicy extends RetryPolicy {
  private readonly listening = new Map<PolicyEventType, number>();
  private readonly channels = new Map<PolicyEventType, Channel>();
  private readonly logs: boolean;

  constructor(options: RetryOptions) {
    super(options);
    this.logs = this.settings.log !== undefined;
  }

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

  /** Whether anybody wants to hear of events of this type. */
  heard(type: PolicyEventType): boolean {
    return this.logs || (this.listening.get(type) ?? 0) > 0 || this.channel(type).hasSubscribers;
  }

  private channel(type: PolicyEventType): Channel {
    let found = this.channels.get(type);
    if (found === undefined) {
      found = channel(`outlast:${type}`);
      this.channels.set(type, found);
    }
    return found;
  }

  private count(type: PolicyEventType, by: number): void {
    this.listening.set(type, (this.listening.get(type) ?? 0) + by);
  }
}
