import type { Batch, EachBatchPayload, KafkaMessage } from 'kafkajs';
import type { RetryRunConfig } from './consumer-options.js';
import type { ConsumerParts } from './consumer-parts.js';
import { misuse } from './errors.js';
import type { Guard } from './guards.js';

type Handler = NonNullable<RetryRunConfig['eachBatch']>;

/** What is known of a partition that begins again in the middle of what has been handed out. */
export interface Rest {
  /** Offsets that are not handed out again. */
  readonly handled: ReadonlySet<string>;
  /** Up to here messages are handed out one by one, to find which of them fails. */
  readonly singlyUpTo: bigint;
}

const NOTHING: Rest = { handled: new Set(), singlyUpTo: -1n };

/** How one call of the handler ended. */
interface Ended {
  readonly rejected: ReadonlyMap<string, unknown>;
  readonly thrown: { readonly error: unknown } | undefined;
  /** What stands before this offset has been resolved. */
  readonly next: bigint;
}

/**
 * A handler of batches for kafkajs whose failures stay here. What it rejects is handed out again, alone. Where it
 * throws, the batch begins again at the first message that it has not resolved; if that does not end, and attempts are
 * to end, message by message, until it is known which it is.
 */
export function eachBatchOf(
  parts: ConsumerParts,
  config: RetryRunConfig,
  handler: Handler,
): (payload: EachBatchPayload) => Promise<void> {
  const { rests } = parts;
  return (payload) => {
    const { batch } = payload;
    const key = `${batch.partition}:${batch.topic}`;
    return parts.guards.run(payload, async (guard) => {
      const { topic, partition, messages } = batch;
      const { offset } = messages[0] as KafkaMessage;
      parts.failing.forget(topic, partition, offset);
      const isRetry = parts.failing.attempt(topic, partition, offset) > 1;
      if (await parts.waiting.isEarly(payload, guard, isRetry)) return;
      const run = new BatchRun(parts, config, handler, payload, guard, rests.get(key) ?? NOTHING);
      rests.delete(key);
      await run.handOut();
      const rest = run.resolve();
      if (rest !== undefined) rests.set(key, rest);
    });
  };
}

/** One batch of kafkajs, handed out at once or message by message. */
class BatchRun {
  private readonly parts: ConsumerParts;
  private readonly config: RetryRunConfig;
  private readonly handler: Handler;
  private readonly payload: EachBatchPayload;
  private readonly guard: Guard;
  private readonly handled: Set<string>;
  private singlyUpTo: bigint;

  constructor(
    parts: ConsumerParts,
    config: RetryRunConfig,
    handler: Handler,
    payload: EachBatchPayload,
    guard: Guard,
    rest: Rest,
  ) {
    this.parts = parts;
    this.config = config;
    this.handler = handler;
    this.payload = payload;
    this.guard = guard;
    this.handled = new Set(rest.handled);
    this.singlyUpTo = rest.singlyUpTo;
  }

  async handOut(): Promise<void> {
    const { fate } = this.parts;
    const { batch, isRunning, isStale } = this.payload;
    for (const { offset } of batch.messages) {
      if (fate.hasLeft(batch.topic, batch.partition, offset)) this.handled.add(offset);
    }
    for (;;) {
      const left = batch.messages.filter((one) => this.isToBeHandedOut(one));
      const [first] = left;
      if (first === undefined || this.guard.lost !== undefined || !isRunning() || isStale()) return;
      const alone = BigInt(first.offset) <= this.singlyUpTo;
      const ended = await this.call(alone ? [first] : left, this.attemptAt(first, alone));
      if (this.guard.left) return;
      await this.settle(alone ? [first] : left, ended, alone);
      if (!alone || !this.handled.has(first.offset)) return;
    }
  }

  /** Moves kafkajs' position up to the first message that is not handled. */
  resolve(): Rest | undefined {
    const { batch, resolveOffset } = this.payload;
    if (this.guard.left) return undefined;
    const index = batch.messages.findIndex(({ offset }) => !this.handled.has(offset));
    const resolved =
      index < 0 ? batch.lastOffset() : index > 0 ? batch.messages[index - 1]?.offset : undefined;
    if (resolved !== undefined) resolveOffset(resolved);
    // The next batch may be a smaller one: what is known of later messages is kept.
    const position = resolved === undefined ? -1n : BigInt(resolved);
    const handled = new Set([...this.handled].filter((offset) => BigInt(offset) > position));
    if (handled.size === 0 && this.singlyUpTo <= position) return undefined;
    return { handled, singlyUpTo: this.singlyUpTo };
  }

  private async call(messages: KafkaMessage[], attempt: number): Promise<Ended> {
    const { payload, guard, parts } = this;
    const first = (messages[0] as KafkaMessage).offset;
    const last = (messages.at(-1) as KafkaMessage).offset;
    const whole = messages.length === payload.batch.messages.length;
    const rejected = new Map<string, unknown>();
    let next = BigInt(first);
    const resolveOffset = (offset: string): void => {
      next = BigInt(offset) + 1n;
      // kafkajs knows one position: it is not to pass what has failed, nor what was left out.
      if (whole && rejected.size === 0 && !guard.left) payload.resolveOffset(offset);
    };
    const rejectOffset = (offset: string, error: unknown): void => {
      if (!messages.some((one) => one.offset === offset)) {
        throw misuse(`rejectOffset: ${offset} is not in this batch, ${first} to ${last}.`);
      }
      if (BigInt(offset) < next) throw misuse(`rejectOffset: ${offset} has been resolved.`);
      rejected.set(offset, error);
    };
    const given = {
      ...payload,
      batch: whole ? payload.batch : partOf(payload.batch, messages),
      resolveOffset,
      rejectOffset,
      heartbeat: guard.heartbeat,
      pause: parts.pauses.asked(payload),
      signal: guard.signal,
      attempt,
    };
    try {
      await this.handler(given);
    } catch (error) {
      return { rejected, thrown: { error }, next };
    }
    if (this.config.eachBatchAutoResolve !== false) next = BigInt(last) + 1n;
    return { rejected, thrown: undefined, next };
  }

  private async settle(messages: KafkaMessage[], ended: Ended, alone: boolean): Promise<void> {
    const { fate } = this.parts;
    let { thrown } = ended;
    const failed: { readonly message: KafkaMessage; readonly error: unknown; known: boolean }[] =
      [];
    for (const message of messages) {
      const { offset } = message;
      if (ended.rejected.has(offset)) {
        failed.push({ message, error: ended.rejected.get(offset), known: true });
      } else if (BigInt(offset) < ended.next) {
        this.passed(message);
      } else if (thrown !== undefined) {
        failed.push({ message, error: thrown.error, known: alone });
        thrown = undefined;
      }
    }
    // What a rebalance broke off is nobody's failure; stopped is not failed either.
    if (this.guard.lost !== undefined || this.parts.isStopped()) return;
    for (const { message, error, known } of failed) {
      const place = this.placeOf(message);
      const attempts = this.attemptAt(message, alone);
      const what = { topic: place.topic, partition: place.partition, message, error, attempts };
      if (!fate.ends || !fate.isUsedUp(what)) {
        fate.stays(place, error);
      } else if (known) {
        if (await fate.end(what, place)) this.handled.add(message.offset);
      } else {
        this.singlyUpTo = BigInt(this.payload.batch.lastOffset());
        fate.stays(place, error);
      }
    }
    // It has thrown though it had resolved everything.
    if (thrown !== undefined) {
      fate.stays(
        { ...this.placeOf(messages[0] as KafkaMessage), offset: String(ended.next) },
        thrown.error,
      );
    }
  }

  private passed(message: KafkaMessage): void {
    const { failing } = this.parts;
    const place = this.placeOf(message);
    this.handled.add(message.offset);
    const attempt = failing.attempt(place.topic, place.partition, place.offset);
    if (attempt > 1) failing.passed(place, attempt);
  }

  /** Alone it is handed out only after it was in a batch that has failed as often as is allowed. */
  private attemptAt(message: KafkaMessage, alone: boolean): number {
    const { failing, maxAttempts } = this.parts;
    const { topic, partition, offset } = this.placeOf(message);
    const attempt = failing.attempt(topic, partition, offset);
    return alone ? Math.max(attempt, maxAttempts + 1) : attempt;
  }

  private isToBeHandedOut({ offset }: KafkaMessage): boolean {
    const { topic, partition } = this.payload.batch;
    return !this.handled.has(offset) && !this.parts.fate.isLeaving(topic, partition, offset);
  }

  private placeOf({ offset }: KafkaMessage): { topic: string; partition: number; offset: string } {
    const { topic, partition } = this.payload.batch;
    return { topic, partition, offset };
  }
}

/** The same batch with some of its messages only. */
function partOf(batch: Batch, messages: KafkaMessage[]): Batch {
  const first = (messages[0] as KafkaMessage).offset;
  const last = (messages.at(-1) as KafkaMessage).offset;
  return Object.create(batch, {
    messages: { value: messages, enumerable: true },
    firstOffset: { value: () => first },
    lastOffset: { value: () => last },
    isEmpty: { value: () => false },
  }) as Batch;
}
