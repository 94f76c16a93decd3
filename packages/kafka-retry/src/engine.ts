import { ClosedError, type Reason, type Timer } from '@outlast/core-retry';
import { onAbort } from '@outlast/core-retry/connector';
import type { Batch } from './batch.js';
import { classifyKafka } from './classify.js';
import { type Address, addressKey } from './connection.js';
import { Connections } from './connections.js';
import type { EngineOptions } from './engine-options.js';
import { QueueFullError } from './errors.js';
import { Hunt, type HuntHost } from './hunt.js';
import { Identities } from './identities.js';
import { Lane, type LaneHost } from './lane.js';
import { Ledger } from './ledger.js';
import { Metadata } from './metadata.js';
import { Outcomes, type OutcomesHost } from './outcomes.js';
import { PartitionQueue } from './partition-queue.js';
import type { TopicRecords } from './placement.js';
import type { PartitionReply } from './produce-request.js';
import type { Part, Publish } from './publish.js';
import { Unplaced } from './unplaced.js';

const METADATA_LIMIT_MS = 2000;
const LEAST_LOOK_MS = 10;
const KEPT_LOOK_MS = 100;

/** From a publish to its fate: partitions, numbers, requests, retries. One a producer that is connected. */
export class Engine implements LaneHost, HuntHost, OutcomesHost {
  readonly options: EngineOptions;
  readonly connections: Connections;
  readonly metadata: Metadata;
  readonly identities: Identities;
  readonly ledger: Ledger;
  closed = false;
  private readonly hunt: Hunt;
  private readonly outcomes: Outcomes;
  private readonly unplaced: Unplaced;
  private readonly queues = new Map<string, (PartitionQueue | undefined)[]>();
  private readonly lanes = new Map<string, Lane>();
  private readonly overflowing: Publish[] = [];
  private readonly waitingRecords = new WeakMap<Publish, readonly TopicRecords[]>();
  private timer: Timer | undefined;
  private timerAt = Infinity;
  private freshenedAt = -Infinity;

  constructor(options: EngineOptions) {
    this.options = options;
    const { policy, wire } = options;
    const { clock } = policy.settings;
    const now = (): number => clock.now();
    const limitMs = Math.max(METADATA_LIMIT_MS, wire.connectionTimeout + 1000);
    this.connections = new Connections(wire, now);
    this.metadata = new Metadata({
      connections: this.connections,
      seeds: options.seeds,
      allowAutoTopicCreation: options.allowAutoTopicCreation,
      limitMs,
      now,
    });
    this.identities = new Identities(this.connections, this.metadata, limitMs);
    this.ledger = new Ledger(policy, () => this.freed());
    this.hunt = new Hunt(this);
    this.outcomes = new Outcomes(this);
    this.unplaced = new Unplaced(this);
  }

  get policy(): EngineOptions['policy'] {
    return this.options.policy;
  }
  get idempotent(): boolean {
    return this.options.idempotent;
  }
  get lingerMs(): number {
    return this.options.lingerMs;
  }
  get requestTimeoutMs(): number {
    return this.options.requestTimeoutMs;
  }
  get once(): boolean {
    return this.options.once;
  }
  get random(): () => number {
    return this.policy.settings.random;
  }
  get maxDelayMs(): number {
    return this.policy.settings.maxDelayMs;
  }

  /** Resolves when a broker has answered. @throws its latest error, when `limitMs` are over */
  reach(limitMs: number): Promise<void> {
    return this.hunt.reach(limitMs);
  }

  /** Takes a publish; it ends by itself. */
  accept(publish: Publish, records: readonly TopicRecords[], signal?: AbortSignal): void {
    const { overflow, maxQueueBytes } = this.options;
    const full =
      this.overflowing.length > 0 ||
      (this.ledger.bytes > 0 && this.ledger.bytes + publish.bytes > maxQueueBytes);
    if (full && overflow === 'reject') {
      this.ledger.refuse(publish, new QueueFullError(maxQueueBytes), 'exhausted');
      return;
    }
    const { breaker } = this.policy.settings;
    if (breaker !== undefined) {
      publish.ticket = breaker.admit();
      if (publish.ticket === 0) {
        this.ledger.refuse(publish, breaker.refusal(), 'circuit-open');
        return;
      }
    }
    if (signal !== undefined) {
      publish.unwatch = onAbort(signal, (reason) => this.end(publish, 'cancelled', reason));
    }
    this.ledger.begin(publish, !full);
    this.arm(Math.min(publish.deadline, this.patienceOf(publish)));
    if (full) {
      this.overflowing.push(publish);
      this.waitingRecords.set(publish, records);
    } else this.admit(publish, records);
  }

  /** Whether no broker can be reached, as far as is known. */
  get isDown(): boolean {
    return this.hunt.reconnect.down !== undefined;
  }

  /** Resolves when everything that has been accepted by now has ended. */
  settled(): Promise<void> {
    return this.ledger.settled();
  }

  /** Rejects what is under way, and opens no socket any more. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.timer?.cancel();
    this.hunt.close();
    for (const publish of [...this.ledger.publishes()]) {
      const cause = publish.troubles.at(-1)?.error;
      this.end(publish, 'closed', new ClosedError('The producer', cause && { cause }));
    }
    this.connections.close();
  }

  // -- Placing

  wantedTopics(): Iterable<string> {
    return this.unplaced.topics();
  }

  place(): boolean {
    return this.unplaced.place();
  }

  /** A publish has its partitions. */
  enqueue(publish: Publish, parts: readonly Part[]): void {
    publish.parts = [...parts];
    publish.open = parts.length;
    for (const part of parts) {
      const queue = this.queueOf(part.topic, part.partition);
      queue.push(part);
      this.next(queue);
    }
  }

  next(queue: PartitionQueue): void {
    if (this.closed || queue.inFlight || queue.stalled || !queue.hasWork) return;
    if (!this.dispatch(queue)) this.hunt.stall(queue, 0);
  }

  dispatch(queue: PartitionQueue): boolean {
    const address = this.metadata.leaderOf(queue.topic, queue.partition);
    if (address === undefined) return false;
    this.laneOf(address).add(queue);
    return true;
  }

  again(queue: PartitionQueue, delayMs: number): void {
    if (!this.closed) this.hunt.stall(queue, delayMs);
  }

  // -- What lanes report

  answered(queue: PartitionQueue, batch: Batch, reply: PartitionReply | undefined): void {
    this.outcomes.answered(queue, batch, reply);
  }

  lost(queue: PartitionQueue, batch: Batch, error: Error): void {
    this.outcomes.lost(queue, batch, error);
  }

  unwritable(queue: PartitionQueue, batch: Batch, error: Error): void {
    this.outcomes.unwritable(queue, batch, error);
  }

  unreachable(queues: readonly PartitionQueue[], error: Error): void {
    if (!classifyKafka(error, 'connect').transient) {
      const parts = queues.flatMap((queue) => [...(queue.batch?.parts ?? []), ...queue.waiting()]);
      for (const { publish } of parts) this.end(publish, 'permanent', error);
      return;
    }
    for (const queue of queues) {
      queue.failures += 1;
      queue.unreachable = error;
      // Whether it is the leader or all of them is found out by the hunt, which paces itself.
      const delayMs = Math.min(50 * 2 ** Math.min(queue.failures - 1, 3), 400);
      this.again(queue, queue.failures === 1 ? 0 : delayMs);
    }
  }

  /** A leader may have been replaced while it keeps a request: then its answer is not waited for. */
  silent(): void {
    this.metadata.refresh(this.wantedTopics()).then(
      () => {
        for (const lane of this.lanes.values()) {
          lane.dropIfMoved(({ topic, partition }, at) => {
            const leader = this.metadata.leaderOf(topic, partition);
            return leader !== undefined && addressKey(leader) !== addressKey(at);
          });
        }
      },
      // The request that is out has a time limit of its own.
      () => {},
    );
  }

  // -- Ending early

  wentDown(error: unknown): void {
    this.options.keeper?.keepAll(this.ledger.publishes());
    this.expire(error);
  }

  refused(error: unknown): void {
    for (const publish of [...this.ledger.publishes()]) this.end(publish, 'permanent', error);
  }

  /** Ends a publish before it has an answer, and takes back what can still be taken back. */
  end(publish: Publish, reason: Reason, error?: unknown): void {
    const touched = new Set<PartitionQueue>();
    this.ledger.endAll(publish, reason, error, (part) => {
      const queue = this.queueOf(part.topic, part.partition);
      const { batch } = queue;
      if (batch === undefined || !batch.parts.includes(part)) return 'not-applied';
      touched.add(queue);
      return batch.unknown || queue.inFlight ? 'unknown' : 'not-applied';
    });
    for (const queue of touched) this.withdraw(queue);
  }

  private withdraw(queue: PartitionQueue): void {
    const { batch } = queue;
    if (batch === undefined) return;
    if (queue.inFlight) {
      for (const lane of this.lanes.values()) lane.abandonIfUnwanted();
      return;
    }
    if (!batch.unknown) {
      queue.sequence.takeBack(batch);
      batch.shrink();
    }
    if (batch.wanted) return;
    this.outcomes.drop(queue, batch);
    this.next(queue);
  }

  /** Ends what has no time left, or no patience while no broker can be reached. */
  private expire(downError?: unknown): void {
    const now = this.policy.settings.clock.now();
    const down = this.hunt.reconnect.down;
    let nextAt = Infinity;
    for (const publish of [...this.ledger.publishes()]) {
      const late = publish.deadline <= now;
      const impatient = down !== undefined && this.patienceOf(publish) <= now;
      if ((late || impatient) && this.options.keeper?.keep(publish)) {
        // While it is being written: that may fail.
        if (publish.totalTimeoutMs < Infinity) nextAt = Math.min(nextAt, now + KEPT_LOOK_MS);
        continue;
      }
      if (late) this.end(publish, 'deadline', this.whyUnsent(publish));
      else if (impatient) {
        this.end(publish, 'exhausted', downError ?? down.error);
      } else {
        nextAt = Math.min(nextAt, publish.deadline);
        const patience = this.patienceOf(publish);
        if (down !== undefined || patience > now) nextAt = Math.min(nextAt, patience);
      }
    }
    this.timerAt = Infinity;
    this.timer?.cancel();
    // Many deadlines are near each other: each look is at all of them.
    if (nextAt < Infinity && !this.closed) this.arm(Math.max(nextAt, now + LEAST_LOOK_MS));
  }

  /** Why a publish has not even been tried, if it has not: undefined if nothing has failed. */
  private whyUnsent(publish: Publish): unknown {
    if (publish.troubles.length > 0) return undefined;
    for (const { topic, partition } of publish.parts) {
      const { unreachable } = this.queueOf(topic, partition);
      if (unreachable !== undefined) return unreachable;
    }
    return this.hunt.reconnect.down?.error;
  }

  private patienceOf(publish: Publish): number {
    return publish.attempts > 0 ? Infinity : publish.startedAt + this.options.patienceMs;
  }

  /** One timer for all; it does not keep the process alive, for what waits for a broker does. */
  private arm(at: number): void {
    if (at >= this.timerAt) return;
    this.timer?.cancel();
    this.timerAt = at;
    const { clock } = this.policy.settings;
    this.timer = clock.setTimeout(() => this.expire(), Math.max(0, at - clock.now()), {
      unref: true,
    });
  }

  private admit(publish: Publish, records: readonly TopicRecords[]): void {
    this.freshen();
    if (!this.unplaced.tryNow(publish, records)) this.hunt.begin();
  }

  /** Asks anew for what is older than `metadataMaxAge`, beside what is sent. The hunt does it while brokers are away. */
  private freshen(): void {
    const now = this.policy.settings.clock.now();
    const { refreshedAt, topicNames } = this.metadata;
    const fresh = now - Math.max(refreshedAt, this.freshenedAt) < this.options.metadataMaxAgeMs;
    if (fresh || this.hunt.reconnect.down !== undefined || topicNames.length === 0) return;
    this.freshenedAt = now;
    this.metadata.refresh().catch(() => {});
  }

  private freed(): void {
    const { maxQueueBytes } = this.options;
    while (this.overflowing.length > 0) {
      const publish = this.overflowing[0] as Publish;
      const fits = this.ledger.bytes === 0 || this.ledger.bytes + publish.bytes <= maxQueueBytes;
      if (!publish.ended && !fits) break;
      this.overflowing.shift();
      const records = this.waitingRecords.get(publish);
      if (publish.ended || records === undefined) continue;
      this.ledger.hold(publish);
      this.admit(publish, records);
    }
    if (this.ledger.size === 0) this.hunt.rest();
  }

  private queueOf(topic: string, partition: number): PartitionQueue {
    let ofTopic = this.queues.get(topic);
    if (ofTopic === undefined) {
      ofTopic = [];
      this.queues.set(topic, ofTopic);
    }
    const found =
      ofTopic[partition] ?? new PartitionQueue(topic, partition, this.options.maxBatchBytes);
    ofTopic[partition] = found;
    return found;
  }

  private laneOf(address: Address): Lane {
    const key = addressKey(address);
    const found = this.lanes.get(key) ?? new Lane(this, address);
    this.lanes.set(key, found);
    return found;
  }
}
