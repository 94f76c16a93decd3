import {
  ClosedError,
  isClosedError,
  isOutcomeUnknown,
  type RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { markCall, redact } from '@outlast/core-retry/connector';
import type { Logger } from 'kafkajs';
import { classifyKafka } from './classify.js';
import { Delivery } from './delivery.js';
import type { Engine } from './engine.js';
import type { Keeper } from './engine-options.js';
import { SpoolFullError } from './errors.js';
import { bytesOf } from './memory.js';
import { Publish } from './publish.js';
import { keepRefused } from './refused.js';
import { Spool, type Spooled } from './spool.js';
import { type Bounds, SpoolLine } from './spool-line.js';
import { decodeSend, encodeSend } from './spool-record.js';

/** A spool as it was asked for. */
export interface SpoolSettings {
  readonly directory: string;
  readonly maxBytes: number;
  readonly fsync: boolean;
}

interface SpoolingOptions {
  readonly settings: SpoolSettings;
  readonly policy: RetryPolicy;
  readonly logger: Logger;
  readonly maxQueueBytes: number;
  readonly overflow: 'wait' | 'reject';
  readonly engine: () => Engine;
}

const OPERATION = 'kafka.send';
/** What comes from the spool is under way at once: what a crash makes copies of. */
const MOST_FED_BYTES = 2 * 1024 * 1024;
const AGAIN_MS = 1000;
const CLOSING_LOOK_MS = 20;

/**
 * The way of messages past a spool: while brokers can be reached they go straight to the engine; once they cannot,
 * what is under way is written down, and what comes goes to the spool behind it, until all of it has gone to the
 * engine again, in order. What the engine still holds of it is not published a second time by this process.
 */
export class Spooling implements Keeper {
  private readonly options: SpoolingOptions;
  private opening: Promise<Spool> | undefined;
  private spool: Spool | undefined;
  /** Whether sends go to the spool. */
  private diverting = false;
  private draining: Promise<void> | undefined;
  /** Somebody has asked for it since it last looked. */
  private asked = false;
  private readonly deliveries = new WeakMap<Publish, Delivery>();
  /** What is in the spool and in the engine. */
  private readonly held = new Map<number, Delivery>();
  private readonly line: SpoolLine;
  private freed: (() => void) | undefined;
  private closed = false;
  /** Sends that wait until the spool is open. */
  private early = 0;

  constructor(options: SpoolingOptions) {
    this.options = options;
    this.line = new SpoolLine(options.policy.settings.clock);
  }

  /** Bytes of its files. */
  get bytes(): number {
    return this.spool?.bytes ?? 0;
  }

  /** @throws SpoolLockedError; the system's errors */
  async open(): Promise<void> {
    this.closed = false;
    this.opening ??= this.begin();
    try {
      await this.opening;
    } catch (error) {
      this.opening = undefined;
      throw error;
    }
  }

  /** Takes a send; it ends by itself. */
  accept(delivery: Delivery, startedAt: number, bounds: Bounds): void {
    if (this.spool !== undefined && this.early === 0) {
      this.take(delivery, startedAt, bounds);
      return;
    }
    this.early += 1;
    this.open()
      .finally(() => {
        this.early -= 1;
      })
      .then(
        () => this.take(delivery, startedAt, bounds),
        (error: unknown) => delivery.reject(this.marked(error, startedAt)),
      );
  }

  keepAll(publishes: Iterable<Publish>): void {
    if (this.spool === undefined || this.closed) return;
    if (!this.diverting) this.divert();
    for (const publish of publishes) this.keep(publish);
  }

  keep(publish: Publish): boolean {
    const delivery = this.deliveries.get(publish);
    const { spool } = this;
    if (delivery === undefined || delivery.unkept || spool === undefined || this.closed) {
      return false;
    }
    if (delivery.number !== undefined) publish.totalTimeoutMs = Infinity;
    if (delivery.number !== undefined || delivery.keeping) return true;
    const payload = encodeSend(delivery);
    if (!spool.hasRoom(payload.length)) return false;
    delivery.keeping = true;
    this.divert();
    spool.append(payload).then(
      (number) => this.kept(delivery, number),
      (error: unknown) => {
        delivery.keeping = false;
        delivery.unkept = true;
        this.tellOf('A message was not kept', error);
        if (delivery.failure !== undefined) delivery.reject(delivery.failure.error);
      },
    );
    return true;
  }

  /** Resolves when everything in the spool is acknowledged. */
  async flushed(): Promise<void> {
    await this.opening;
    await this.spool?.emptied();
  }

  /**
   * Before the engine is closed: waits, at most `graceMs`, while brokers answer, and writes down what is still
   * under way then.
   */
  async beforeClose(engine: Engine, graceMs: number): Promise<void> {
    const { spool } = this;
    if (spool === undefined) return;
    const { clock } = this.options.policy.settings;
    const until = clock.now() + graceMs;
    while (!(engine.ledger.size === 0 && spool.isEmpty) && clock.now() < until && !engine.isDown) {
      await new Promise<void>((done) => clock.setTimeout(done, CLOSING_LOOK_MS));
    }
    for (const publish of [...engine.ledger.publishes()]) this.keep(publish);
    await spool.written();
    this.closed = true;
    this.freed?.();
    this.line.end(new ClosedError('The producer'));
  }

  /** After the engine was closed. */
  async close(): Promise<void> {
    await this.draining;
    await this.spool?.close();
    this.spool = undefined;
    this.opening = undefined;
    this.diverting = false;
    this.held.clear();
  }

  private async begin(): Promise<Spool> {
    const { directory, maxBytes, fsync } = this.options.settings;
    const spool = await Spool.open({ directory, maxBytes, sync: fsync });
    this.spool = spool;
    if (spool.size > 0) this.divert();
    return spool;
  }

  private take(delivery: Delivery, startedAt: number, bounds: Bounds): void {
    if (this.closed) {
      delivery.reject(this.marked(new ClosedError('The producer'), startedAt));
    } else if (this.diverting || this.options.engine().isDown) {
      this.divert();
      this.write(delivery, startedAt, bounds);
    } else this.publish(delivery, startedAt, bounds);
  }

  private publish(delivery: Delivery, startedAt: number, { deadline, signal }: Bounds): void {
    const publish = new Publish(
      delivery,
      startedAt,
      deadline - startedAt,
      (metadata) => {
        delivery.publish = undefined;
        delivery.stored = true;
        delivery.resolve(metadata);
        if (delivery.number !== undefined) this.acknowledged(delivery);
        this.freed?.();
      },
      (error) => {
        delivery.publish = undefined;
        if (delivery.keeping) delivery.failure = { error };
        else if (delivery.number === undefined) delivery.reject(error);
        else this.failed(delivery, error);
        this.freed?.();
      },
    );
    delivery.publish = publish;
    publish.bytes = bytesOf(delivery.records);
    this.deliveries.set(publish, delivery);
    this.options.engine().accept(publish, delivery.records, signal);
  }

  /** It is durable; it may have been acknowledged, or given up, meanwhile. */
  private kept(delivery: Delivery, number: number): void {
    delivery.keeping = false;
    delivery.number = number;
    delivery.resolve(delivery.metadata());
    if (delivery.stored) this.acknowledged(delivery);
    else if (delivery.publish !== undefined) {
      delivery.publish.totalTimeoutMs = Infinity;
      this.held.set(number, delivery);
    } else if (delivery.failure !== undefined) this.failed(delivery, delivery.failure.error);
    this.drain();
  }

  /** To the spool, or in line for it. */
  private write(delivery: Delivery, startedAt: number, bounds: Bounds): void {
    const payload = encodeSend(delivery);
    const { spool, line } = this;
    if (line.length === 0 && spool?.hasRoom(payload.length)) {
      this.append(delivery, payload, startedAt);
      return;
    }
    const { settings, overflow } = this.options;
    const full = new SpoolFullError(`it may hold ${settings.maxBytes} bytes (spool.maxBytes)`);
    if (overflow === 'reject' || payload.length > settings.maxBytes) {
      delivery.reject(this.marked(full, startedAt));
      return;
    }
    line.join({
      bounds,
      size: payload.length,
      full,
      enter: () => this.append(delivery, payload, startedAt),
      refuse: (error) => delivery.reject(this.marked(error, startedAt)),
    });
  }

  private append(delivery: Delivery, payload: Buffer, startedAt: number): void {
    (this.spool as Spool).append(payload).then(
      (number) => {
        delivery.number = number;
        delivery.resolve(delivery.metadata());
        this.drain();
      },
      (error: unknown) => delivery.reject(this.marked(error, startedAt)),
    );
  }

  private async letIn(): Promise<void> {
    await this.spool?.tidied();
    this.line.letIn((size) => this.spool?.hasRoom(size) === true);
  }

  private divert(): void {
    if (!this.diverting) {
      this.diverting = true;
      this.options.logger.warn('Messages go to the spool', {
        spool: this.options.settings.directory,
      });
    }
    this.drain();
  }

  private drain(): void {
    this.asked = true;
    this.draining ??= this.feed()
      .catch((error: unknown) => this.tellOf('The spool cannot be read', error))
      .finally(() => {
        this.draining = undefined;
        if (this.asked && !this.closed) this.drain();
      });
  }

  /** Hands the engine what is in the spool, in order, as much as may wait there. */
  private async feed(): Promise<void> {
    const { spool } = this;
    while (spool !== undefined && !this.closed) {
      this.asked = false;
      const found = await spool.read();
      if (this.closed) return;
      for (const one of found) {
        if (!this.held.has(one.number) && !spool.isDone(one.number)) await this.hand(one);
        if (this.closed) return;
      }
      if (found.length > 0) continue;
      if (!spool.isRead) {
        await spool.written();
        continue;
      }
      if (this.line.length > 0 || this.options.engine().isDown) return;
      this.diverting = false;
      this.options.logger.info('The spool has been read', {
        spool: this.options.settings.directory,
        ...(spool.damaged > 0 && { damaged: spool.damaged }),
      });
      return;
    }
  }

  private async hand({ number, payload }: Spooled): Promise<void> {
    const send = decodeSend(payload);
    const delivery = new Delivery(send, send.records);
    delivery.number = number;
    const bytes = bytesOf(delivery.records);
    const most = Math.min(this.options.maxQueueBytes / 2, MOST_FED_BYTES);
    const { ledger } = this.options.engine();
    while (ledger.bytes > 0 && ledger.bytes + bytes > most && !this.closed) {
      await new Promise<void>((resolve) => {
        this.freed = resolve;
      });
    }
    if (this.closed) return;
    this.held.set(number, delivery);
    this.publishAgain(delivery);
  }

  private publishAgain(delivery: Delivery): void {
    if (this.closed) return;
    const now = this.options.policy.settings.clock.now();
    this.publish(delivery, now, { deadline: Infinity, signal: undefined });
  }

  private acknowledged(delivery: Delivery): void {
    const number = delivery.number as number;
    this.held.delete(number);
    this.spool?.strikeOff(number);
    if (this.line.length > 0) void this.letIn();
    if (this.diverting) this.drain();
  }

  /** What is in the spool is published again, or put aside if the brokers will never have it. */
  private failed(delivery: Delivery, error: unknown): void {
    // It is there for the next process, or the next connect().
    if (this.closed || isClosedError(error)) return;
    const { clock } = this.options.policy.settings;
    const later = (what: () => void): void => {
      clock.setTimeout(what, AGAIN_MS, { unref: true });
    };
    if (!isFinal(error)) {
      later(() => this.publishAgain(delivery));
      return;
    }
    this.tellOf('A message from the spool was refused, and put aside', error);
    keepRefused(this.options.settings.directory, encodeSend(delivery)).then(
      () => this.acknowledged(delivery),
      (reason: unknown) => {
        this.tellOf('A refused message cannot be put aside', reason);
        later(() => this.failed(delivery, error));
      },
    );
  }

  private tellOf(message: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    const { directory } = this.options.settings;
    this.options.logger.error(message, { spool: directory, error: redact(text) });
  }

  private marked(error: unknown, startedAt: number): unknown {
    const { policy } = this.options;
    const call = {
      operation: OPERATION,
      attempts: 0,
      elapsedMs: policy.settings.clock.now() - startedAt,
      reason: isClosedError(error) ? 'closed' : 'exhausted',
      outcome: 'not-applied',
    } as const;
    return markCall(error, call, policy);
  }
}

/** Refused for good, and not there; a topic that is missing is missing. */
function isFinal(error: unknown): boolean {
  if (isOutcomeUnknown(error)) return false;
  return retryInfo(error)?.reason === 'permanent' || classifyKafka(error, 'sent').code === '3';
}
