import type { RetryPolicy } from '@outlast/core-retry';
import { redact } from '@outlast/core-retry/connector';

/** Why a consumer alerts. */
export type AlertReason =
  | 'dead-letter-refused'
  | 'retry-topic-refused'
  | 'retry-topic-missing'
  | 'message-skipped'
  | 'consumer-stopped'
  | 'consumer-ended';

/** Tells of what a person should look at: once for each time that it begins. */
export class Alerts {
  private readonly policy: RetryPolicy;
  private readonly raised = new Set<string>();

  constructor(policy: RetryPolicy) {
    this.policy = policy;
  }

  /** @param key what must be cleared before it is told again; none: it is told each time */
  raise(reason: AlertReason, message: string, error?: unknown, key?: string): void {
    if (key !== undefined) {
      if (this.raised.has(`${reason}:${key}`)) return;
      this.raised.add(`${reason}:${key}`);
    }
    if (!this.policy.hears('alert')) return;
    this.policy.emit({
      type: 'alert',
      operation: 'kafka.consumer',
      at: this.policy.settings.clock.wallNow(),
      reason,
      message: redact(message),
      ...(error !== undefined && { error }),
    });
  }

  clear(reason: AlertReason, key: string): void {
    if (this.raised.size > 0) this.raised.delete(`${reason}:${key}`);
  }
}
