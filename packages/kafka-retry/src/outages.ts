import { backoffDelay, type RetryPolicy, type Timer } from '@outlast/core-retry';
import type { Consumer, ConsumerCrashEvent } from 'kafkajs';
import type { Alerts } from './alerts.js';
import { classifyKafka } from './classify.js';

export interface OutagesOptions {
  readonly driver: Consumer;
  readonly policy: RetryPolicy;
  readonly alerts: Alerts;
  /** Whether the caller has a say in whether a consumer starts again (`restartOnFailure`). */
  readonly asksCaller: boolean;
  /** Lets kafkajs run once more. */
  readonly restart: () => Promise<void>;
}

/**
 * A group that cannot be reached is one outage, however often kafkajs crashes and starts again in it. Some of what ends
 * kafkajs' consumers for good is none of it: a coordinator that was not found, an error of its own pool of brokers, a
 * generation that has passed. From those it is started again here.
 */
export class Outages {
  private readonly options: OutagesOptions;
  private downSince: number | undefined;
  private revivals = 0;
  private timer: Timer | undefined;
  private over = true;

  constructor(options: OutagesOptions) {
    this.options = options;
    const { driver } = options;
    driver.on(driver.events.CRASH, (event) => this.crashed(event));
    driver.on(driver.events.GROUP_JOIN, () => this.joined());
  }

  /** The caller lets it run. */
  begin(): void {
    this.over = false;
    this.revivals = 0;
  }

  /** The caller has stopped it. */
  end(): void {
    this.over = true;
    this.timer?.cancel();
  }

  private crashed({ payload: { error, restart } }: ConsumerCrashEvent): void {
    if (this.over) return;
    if (!restart && !this.isCurable(error)) {
      const text = 'kafkajs has ended the consumer: it reads nothing until run() is called again.';
      this.options.alerts.raise('consumer-ended', text, error);
      return;
    }
    const { policy } = this.options;
    const { clock } = policy.settings;
    if (this.downSince === undefined) {
      this.downSince = clock.now();
      const at = clock.wallNow();
      policy.emit({ type: 'down', operation: 'kafka.consumer', at, since: at, error });
    }
    if (!restart) this.revive();
  }

  private revive(): void {
    const { settings } = this.options.policy;
    const { baseDelayMs, random } = settings;
    const delayMs = backoffDelay(settings, ++this.revivals, baseDelayMs, random);
    this.timer?.cancel();
    this.timer = settings.clock.setTimeout(() => {
      if (this.over) return;
      this.options.restart().catch((error: unknown) => {
        this.options.alerts.raise('consumer-ended', 'The consumer did not start again.', error);
      });
    }, delayMs);
  }

  private joined(): void {
    this.revivals = 0;
    if (this.downSince === undefined) return;
    const { policy } = this.options;
    const { clock } = policy.settings;
    const downMs = clock.now() - this.downSince;
    this.downSince = undefined;
    policy.emit({ type: 'up', operation: 'kafka.consumer', at: clock.wallNow(), downMs });
  }

  private isCurable(error: unknown): boolean {
    return !this.options.asksCaller && classifyKafka(error, 'sent').transient;
  }
}
