import type { Failure, Outcome, Reason } from '@outlast/core-retry';
import type { Batch } from './batch.js';
import { classifyKafka } from './classify.js';
import { protocolError } from './errors.js';
import type { Identities } from './identities.js';
import type { Ledger } from './ledger.js';
import type { PartitionQueue } from './partition-queue.js';
import type { PartitionReply } from './produce-request.js';
import type { Part } from './publish.js';
import { judge } from './verdicts.js';

/** What the fate of a batch leads to. */
export interface OutcomesHost {
  readonly ledger: Ledger;
  readonly identities: Identities;
  /** One attempt and no waiting. */
  readonly once: boolean;
  readonly random: () => number;
  readonly maxDelayMs: number;
  /** The queue is sent again after so many milliseconds, when its leader is known. */
  again(queue: PartitionQueue, delayMs: number): void;
  /** The queue goes on with what waits in it. */
  next(queue: PartitionQueue): void;
}

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 1000;
const SPREAD = 0.25;

/** Says what becomes of a batch after each attempt: who is told, and what is sent next. */
export class Outcomes {
  private readonly host: OutcomesHost;

  constructor(host: OutcomesHost) {
    this.host = host;
  }

  answered(queue: PartitionQueue, batch: Batch, reply: PartitionReply | undefined): void {
    const code = reply?.errorCode ?? 0;
    const verdict = judge(code, batch);
    queue.unreachable = undefined;
    if (verdict === 'stored') {
      queue.failures = 0;
      queue.finish();
      this.host.ledger.stored(batch.parts, reply);
      this.host.next(queue);
      return;
    }
    const error = protocolError(code);
    const failure = failureOf(code, batch);
    if (verdict === 'give-up') {
      this.giveUp(queue, batch, 'outcome-unknown', error, failure);
      return;
    }
    if (verdict === 'refuse') {
      this.refuse(queue, batch, error, failure);
      return;
    }
    if (verdict === 'split') {
      queue.split(batch);
      this.host.next(queue);
      return;
    }
    if (verdict !== 'retry') {
      const { sequence } = queue;
      const { identities } = this.host;
      const old = sequence.current?.producerId;
      sequence.startOver(batch, verdict === 'start-over' && identities.bumpsEpoch);
      if (sequence.needsIdentity) identities.retire(old);
    }
    this.retry(queue, batch, error, failure);
  }

  lost(queue: PartitionQueue, batch: Batch, error: Error): void {
    const { category, code } = classifyKafka(error, 'sent');
    const outcome: Outcome = batch.unknown ? 'unknown' : 'not-applied';
    const failure = { category, transient: true, outcome, ...(code !== undefined && { code }) };
    this.retry(queue, batch, error, failure);
  }

  /** It cannot even be written: its codec is not there, or fails. */
  unwritable(queue: PartitionQueue, batch: Batch, error: Error): void {
    this.refuse(queue, batch, error, {
      category: 'invalid',
      transient: false,
      outcome: 'not-applied',
    });
  }

  /** Nobody waits for the batch any more, and it will not be sent again. */
  drop(queue: PartitionQueue, batch: Batch): void {
    this.leaveNumbers(queue, batch);
    queue.finish();
  }

  /** Ends what is left of a batch, whose fate will not be found out. */
  giveUp(
    queue: PartitionQueue,
    batch: Batch,
    reason: Reason,
    error: Error,
    failure?: Failure,
  ): void {
    const outcome: Outcome = batch.unknown ? 'unknown' : 'not-applied';
    this.leaveNumbers(queue, batch);
    if (failure !== undefined) this.note(batch, error, failure);
    this.finish(queue, batch.parts, { error, outcome }, reason);
  }

  private refuse(queue: PartitionQueue, batch: Batch, error: Error, failure: Failure): void {
    queue.sequence.takeBack(batch);
    this.note(batch, error, failure);
    this.finish(queue, batch.parts, { error, outcome: 'not-applied' }, 'permanent');
  }

  private retry(queue: PartitionQueue, batch: Batch, error: Error, failure: Failure): void {
    if (!batch.wanted) {
      this.drop(queue, batch);
      this.host.next(queue);
      return;
    }
    if (this.host.once) {
      const reason = batch.unknown ? 'outcome-unknown' : 'exhausted';
      this.giveUp(queue, batch, reason, error, failure);
      return;
    }
    queue.failures += 1;
    const delayMs = this.delay(queue.failures, failure);
    this.host.ledger.trouble(batch.parts, error, failure, batch.attempts, delayMs);
    this.host.again(queue, delayMs);
  }

  private finish(
    queue: PartitionQueue,
    parts: readonly Part[],
    ending: { readonly error: unknown; readonly outcome: Outcome },
    reason: Reason,
  ): void {
    queue.finish();
    for (const part of parts) this.host.ledger.end(part, ending, reason);
    this.host.next(queue);
  }

  private note(batch: Batch, error: Error, failure: Failure): void {
    this.host.ledger.trouble(batch.parts, error, failure, batch.attempts, undefined);
  }

  private leaveNumbers({ sequence }: PartitionQueue, batch: Batch): void {
    if (batch.stamp === undefined) return;
    if (!batch.unknown) {
      sequence.takeBack(batch);
      return;
    }
    const { producerId } = batch.stamp;
    sequence.giveUp(batch, this.host.identities.bumpsEpoch);
    if (sequence.needsIdentity) this.host.identities.retire(producerId);
  }

  /** The first retry after a lost connection is paced by finding the leader; the rest back off, up to a second. */
  private delay(failures: number, { category }: Failure): number {
    if (failures === 1 && (category === 'network' || category === 'timeout')) return 0;
    const longest = Math.min(LONGEST_DELAY_MS, this.host.maxDelayMs);
    const raw = Math.min(FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 20), longest);
    return Math.min(raw * (1 - SPREAD + 2 * SPREAD * this.host.random()), longest);
  }
}

function failureOf(code: number, { unknown }: Batch): Failure {
  const failure = classifyKafka({ name: 'KafkaJSProtocolError', code }, 'sent');
  return { ...failure, outcome: unknown ? 'unknown' : 'not-applied' };
}
