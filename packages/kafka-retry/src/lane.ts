import { setImmediate as turn } from 'node:timers/promises';
import type { Batch } from './batch.js';
import type { Address, BrokerConnection } from './connection.js';
import type { Connections } from './connections.js';
import type { Identities } from './identities.js';
import type { Ledger } from './ledger.js';
import type { PartitionQueue } from './partition-queue.js';
import { encodeProduce, type PartitionReply, type ProduceReply } from './produce-request.js';

/** What a lane is told, and whom it tells. */
export interface LaneHost {
  readonly connections: Connections;
  readonly identities: Identities;
  readonly ledger: Ledger;
  /** Whether batches with `acks: -1` are numbered. */
  readonly idempotent: boolean;
  readonly lingerMs: number;
  /** How long a broker may take to answer, in milliseconds. */
  readonly requestTimeoutMs: number;
  readonly closed: boolean;
  /** The broker has answered about a batch; undefined where it does not say anything (`acks: 0`). */
  answered(queue: PartitionQueue, batch: Batch, reply: PartitionReply | undefined): void;
  /** No answer came; `batch.unknown` says whether anything was sent. */
  lost(queue: PartitionQueue, batch: Batch, error: Error): void;
  /** The batch cannot even be written. */
  unwritable(queue: PartitionQueue, batch: Batch, error: Error): void;
  /** Nothing was sent: there is no connection, or no producer id. */
  unreachable(queues: readonly PartitionQueue[], error: Error): void;
  /** A broker is silent for longer than usual. */
  silent(): void;
}

interface Sent {
  readonly queue: PartitionQueue;
  readonly batch: Batch;
}

// Brokers refuse requests above socket.request.max.bytes, 100 MB by default.
const MOST_REQUEST_BYTES = 16_000_000;
const SILENT_MS = 2000;
const STILL_SILENT_MS = 1000;
const LONGEST_TIMEOUT_MS = 30_000;

/**
 * The way to one broker: one request at a time, with a batch of every partition that is ready. What comes
 * while it is out gathers for the next.
 */
export class Lane {
  private readonly host: LaneHost;
  private readonly address: Address;
  private readonly ready = new Set<PartitionQueue>();
  private out: readonly Sent[] = [];
  private connection: BrokerConnection | undefined;
  private running = false;
  private silence: NodeJS.Timeout | undefined;

  constructor(host: LaneHost, address: Address) {
    this.host = host;
    this.address = address;
  }

  add(queue: PartitionQueue): void {
    this.ready.add(queue);
    if (this.running) return;
    this.running = true;
    const { lingerMs } = this.host;
    // What is sent in the same turn goes together.
    if (lingerMs > 0) setTimeout(() => this.start(), lingerMs);
    else queueMicrotask(() => this.start());
  }

  /** Whoever waited for all that is out has given up: nobody needs its answer. */
  abandonIfUnwanted(): void {
    if (this.out.length === 0 || this.out.some(({ batch }) => batch.wanted)) return;
    this.connection?.drop();
  }

  /** Drops the connection if `isElsewhere` says that a leader of what is out has moved. */
  dropIfMoved(isElsewhere: (queue: PartitionQueue, address: Address) => boolean): void {
    if (this.out.some(({ queue }) => isElsewhere(queue, this.address))) this.connection?.drop();
  }

  private start(): void {
    this.run()
      .catch((error: Error) => this.giveBack(error))
      .finally(() => {
        this.running = false;
        const [queue] = this.ready;
        if (queue !== undefined && !this.host.closed) this.add(queue);
      });
  }

  private async run(): Promise<void> {
    const { connections, identities, idempotent, lingerMs } = this.host;
    while (this.ready.size > 0 && !this.host.closed) {
      const connection = connections.to(this.address);
      try {
        if (!connection.open) await connection.connect();
        if (idempotent && identities.current === undefined) await identities.get();
      } catch (error) {
        if (!connection.open) connections.suspect(this.address);
        return this.giveBack(error as Error);
      }
      const sent = this.pick();
      if (sent.length === 0) continue;
      let messages = 0;
      try {
        messages = await this.request(connection, sent);
      } catch (error) {
        // Nothing that a connection does comes here: these batches cannot be written at all.
        for (const { queue, batch } of sent) {
          queue.inFlight = false;
          this.host.unwritable(queue, batch, error as Error);
        }
      }
      // One who sends alone is not kept waiting; many are given the turn to send again.
      if (messages > 1) await turn();
      if (lingerMs > 0) await new Promise((resolve) => setTimeout(resolve, lingerMs));
    }
  }

  /** A batch of each partition that is ready and fits. */
  private pick(): Sent[] {
    const sent: Sent[] = [];
    let bytes = 0;
    let first: Batch | undefined;
    for (const queue of this.ready) {
      const batch = queue.take();
      if (batch === undefined) {
        this.ready.delete(queue);
        continue;
      }
      first ??= batch;
      const { acks, timeoutMs } = first.options;
      if (batch.options.acks !== acks || batch.options.timeoutMs !== timeoutMs) continue;
      if (batch !== first && bytes + batch.bytes > MOST_REQUEST_BYTES) continue;
      bytes += batch.bytes;
      this.ready.delete(queue);
      sent.push({ queue, batch });
    }
    return sent;
  }

  /** @returns how many messages were in it */
  private async request(connection: BrokerConnection, picked: readonly Sent[]): Promise<number> {
    for (const { queue } of picked) queue.inFlight = true;
    const sent = picked.every(({ batch }) => batch.options.compression === 0 || batch.ready)
      ? this.encodeNow(picked)
      : await this.encode(picked);
    const first = sent[0]?.batch;
    if (first === undefined) return 0;
    const { acks, timeoutMs } = first.options;
    let messages = 0;
    let written = false;
    const write = (): Buffer => {
      written = true;
      const data = sent.map(({ queue, batch }) => {
        batch.attempts += 1;
        this.host.ledger.attempt(batch.parts, batch.attempts);
        return { topic: queue.topic, partition: queue.partition, bytes: batch.stamped() };
      });
      return encodeProduce(acks, timeoutMs, data);
    };
    for (const { queue, batch } of sent) {
      this.number(queue, batch);
      messages += batch.count;
    }
    this.out = sent;
    this.connection = connection;
    this.listen(SILENT_MS);
    try {
      const reply = await connection.ask<ProduceReply | undefined>(
        'Produce',
        { acks, timeout: timeoutMs, topicData: [] },
        { body: write, timeoutMs: this.patience(sent) },
      );
      clearTimeout(this.silence);
      this.out = [];
      this.host.connections.trust(this.address);
      for (const { queue } of sent) queue.inFlight = false;
      this.deliver(sent, reply, acks);
    } catch (error) {
      clearTimeout(this.silence);
      this.out = [];
      this.fail(connection, sent, error as Error, written);
    }
    return messages;
  }

  /** While a broker keeps a request to itself, it is looked whether another leads by now. */
  private listen(ms: number): void {
    this.silence = setTimeout(() => {
      this.host.silent();
      this.listen(STILL_SILENT_MS);
    }, ms);
  }

  private deliver(sent: readonly Sent[], reply: ProduceReply | undefined, acks: number): void {
    const only = sent.length === 1 ? reply?.topics[0]?.partitions[0] : undefined;
    const found = only === undefined ? indexOf(reply) : undefined;
    for (const { queue, batch } of sent) {
      const answer = only ?? found?.get(`${queue.partition}:${queue.topic}`);
      if (answer === undefined && acks !== 0) {
        batch.unknown = true;
        this.host.lost(queue, batch, new Error('The reply does not name the partition.'));
      } else this.host.answered(queue, batch, answer);
    }
  }

  private fail(
    connection: BrokerConnection,
    sent: readonly Sent[],
    error: Error,
    written: boolean,
  ): void {
    // A connection that was silent may still deliver: it is never used again.
    connection.drop(error);
    this.host.connections.suspect(this.address);
    const silent = error.name === 'KafkaJSRequestTimeoutError';
    for (const { queue, batch } of sent) {
      queue.inFlight = false;
      if (written) batch.unknown = true;
      if (silent) batch.timeouts += 1;
      this.host.lost(queue, batch, error);
    }
  }

  private number(queue: PartitionQueue, batch: Batch): void {
    const { idempotent, identities } = this.host;
    if (!idempotent || batch.options.acks !== -1 || batch.stamp !== undefined) return;
    const { sequence } = queue;
    const identity = identities.current;
    if (sequence.needsIdentity && identity !== undefined) sequence.renew(identity);
    sequence.number(batch);
  }

  private encodeNow(picked: readonly Sent[]): readonly Sent[] {
    // Synchronous without compression, and it does not fail: the messages have been checked.
    for (const { batch } of picked) void batch.encode();
    return picked;
  }

  private async encode(picked: readonly Sent[]): Promise<Sent[]> {
    const sent: Sent[] = [];
    for (const one of picked) {
      try {
        await one.batch.encode();
        if (one.batch.wanted) sent.push(one);
        else {
          one.queue.inFlight = false;
          this.host.lost(one.queue, one.batch, new Error('Nobody waits for it any more.'));
        }
      } catch (error) {
        one.queue.inFlight = false;
        this.host.unwritable(one.queue, one.batch, error as Error);
      }
    }
    return sent;
  }

  /** A big batch on a slow wire must not be cut off again and again. */
  private patience(sent: readonly Sent[]): number {
    const { requestTimeoutMs } = this.host;
    const timeouts = Math.max(...sent.map(({ batch }) => batch.timeouts));
    const longest = Math.max(LONGEST_TIMEOUT_MS, requestTimeoutMs);
    return Math.min(requestTimeoutMs * 2 ** Math.min(timeouts, 10), longest);
  }

  private giveBack(error: Error): void {
    const queues = [...this.ready];
    this.ready.clear();
    this.host.unreachable(queues, error);
  }
}

function indexOf(reply: ProduceReply | undefined): Map<string, PartitionReply> {
  const found = new Map<string, PartitionReply>();
  for (const { topicName, partitions } of reply?.topics ?? []) {
    for (const one of partitions) found.set(`${one.partition}:${topicName}`, one);
  }
  return found;
}
