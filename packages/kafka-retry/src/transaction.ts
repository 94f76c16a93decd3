import { setTimeout as sleep } from 'node:timers/promises';
import { CommitOutcomeUnknownError, type Failure } from '@outlast/core-retry';
import type {
  Transaction as DriverTransaction,
  Message,
  ProducerBatch,
  ProducerRecord,
  RecordMetadata,
} from 'kafkajs';
import { classifyKafka } from './classify.js';
import { KafkaJSError } from './driver.js';
import type { CommitFate } from './end-transaction.js';
import { misuse } from './errors.js';
import { recordOf } from './records.js';
import type { TransactionSession } from './transaction-session.js';

type Offsets = Parameters<DriverTransaction['sendOffsets']>[0];

/** Asks what became of a commit whose answer was lost. */
export type AskCommit = (body: Buffer) => Promise<CommitFate>;

/** Another producer has begun under the same `transactional.id`, or this one took longer than its time. */
const FENCED: ReadonlySet<string | undefined> = new Set(['47', '90']);
/** A new producer object begins with new numbers, and aborts what was open. */
const CURED_BY_A_NEW_ONE: ReadonlySet<string | undefined> = new Set(['45', '48', '49', '59']);
const CONCURRENT_TRANSACTIONS = '51';
const INVALID_TXN_STATE = '48';
const FIRST_DELAY_MS = 5;
const LONGEST_DELAY_MS = 100;
const CONCURRENT_FOR_MS = 10_000;
const ABORT_MS = 5000;

export function isFenced(error: unknown): boolean {
  return FENCED.has(classifyKafka(error, 'sent').code);
}

/** What an error before EndTxn means: nothing of the transaction will ever be committed. */
export function classifyOpen(error: unknown): Failure {
  const failure = classifyKafka(error, 'sent');
  const transient =
    !FENCED.has(failure.code) && (failure.transient || CURED_BY_A_NEW_ONE.has(failure.code));
  return { ...failure, transient, outcome: 'not-applied' };
}

/**
 * One transaction on kafkajs' producer. Its sends go one after the other, each to partitions chosen once, and
 * count only if the reply names all of them: that is what kafkajs' numbers need to hold. The first that fails
 * ends it: it can only be aborted.
 */
export class OpenTransaction {
  /** What ended it, whatever the caller made of it. */
  poison: { readonly error: unknown } | undefined;
  /** Whether its session may be used again. */
  sound = true;
  readonly session: TransactionSession;
  private ended = false;
  private cut: { readonly reason: unknown } | undefined;
  private readonly driver: DriverTransaction;
  private tail: Promise<unknown> = Promise.resolve();

  constructor(driver: DriverTransaction, session: TransactionSession) {
    this.driver = driver;
    this.session = session;
  }

  /** Whether its end has not been asked for yet. */
  get active(): boolean {
    return !this.ended;
  }

  /** Ends it from outside: nothing more is sent, and `reason` is what is told. */
  async cutOff(reason: unknown): Promise<void> {
    this.poison ??= { error: reason };
    this.cut ??= { reason };
    this.ended = true;
    await this.cleanUp();
  }

  async send(record: ProducerRecord): Promise<RecordMetadata[]> {
    check([record]);
    return this.inTurn(() => this.write(() => this.driver.send(record)));
  }

  async sendBatch(batch: ProducerBatch): Promise<RecordMetadata[]> {
    check(batch.topicMessages ?? []);
    return this.inTurn(() => this.write(() => this.driver.sendBatch(batch)));
  }

  async sendOffsets(offsets: Offsets): Promise<void> {
    return this.inTurn(() => patiently(() => this.driver.sendOffsets(offsets)));
  }

  /**
   * @returns when it is committed
   * @throws CommitOutcomeUnknownError if that cannot be found out; anything else: it is not
   */
  async commit(ask: AskCommit): Promise<void> {
    this.guard();
    await this.tail;
    this.guard();
    this.ended = true;
    if (this.poison !== undefined) {
      await this.cleanUp();
      throw this.poison.error;
    }
    try {
      await this.driver.commit();
    } catch (error) {
      this.discard();
      await this.settle(error, ask);
    }
  }

  /** Gives it up. Resolves whatever the broker says: nothing of it can be committed any more. */
  async abort(): Promise<void> {
    this.guard();
    this.ended = true;
    await this.tail;
    if (this.poison !== undefined) await this.cleanUp();
    else await this.politely();
  }

  /** kafkajs keeps numbers and states that no longer hold: its object is not used again. */
  private async cleanUp(): Promise<void> {
    this.sound = false;
    await this.politely();
    this.session.discard();
  }

  /** The broker is told if it listens; the next producer object would abort it, too. */
  private async politely(): Promise<void> {
    const late = sleep(ABORT_MS, 'late', { ref: false });
    const done = this.driver.abort().then(
      () => 'done',
      () => 'failed',
    );
    if ((await Promise.race([done, late])) !== 'done') this.discard();
  }

  private discard(): void {
    this.sound = false;
    this.session.discard();
  }

  private async settle(error: unknown, ask: AskCommit): Promise<void> {
    const { commitSent } = this.session;
    if (commitSent === undefined) throw error;
    // The broker's own no to the only request there was.
    const { code } = classifyKafka(error, 'sent');
    if (FENCED.has(code) || code === INVALID_TXN_STATE) throw error;
    const answer = await ask(commitSent);
    if (answer.fate === 'committed') return;
    if (answer.fate === 'aborted') throw error;
    throw new CommitOutcomeUnknownError(answer.why, { cause: error });
  }

  private async write(send: () => Promise<RecordMetadata[]>): Promise<RecordMetadata[]> {
    const { session } = this;
    session.forgetPlaces();
    const metadata = await patiently(send);
    for (const { partition, topicName } of metadata) {
      session.places.delete(`${partition}:${topicName}`);
    }
    // kafkajs resolves sends of which it has sent only a part, or nothing.
    if (session.places.size > 0) throw new KafkaJSError('The reply does not name every partition');
    return metadata;
  }

  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.guard();
    const before = this.tail;
    const mine = before.then(async () => {
      if (this.poison !== undefined) throw this.poison.error;
      try {
        return await work();
      } catch (error) {
        this.poison ??= { error };
        throw this.poison.error;
      }
    });
    this.tail = mine.catch(() => {});
    return mine;
  }

  private guard(): void {
    if (this.cut !== undefined) throw this.cut.reason;
    if (this.ended) throw misuse('Cannot continue to use transaction once ended');
  }
}

/** The coordinator still ends the transaction before this one: nothing was sent yet. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  const until = performance.now() + CONCURRENT_FOR_MS;
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(2 * delayMs, LONGEST_DELAY_MS)) {
    try {
      return await work();
    } catch (error) {
      const { code } = classifyKafka(error, 'sent');
      if (code !== CONCURRENT_TRANSACTIONS || performance.now() > until) throw error;
    }
    await sleep(delayMs);
  }
}

/** What kafkajs would send as something else, or fail at half-way. */
function check(topicMessages: readonly { readonly topic: string; readonly messages: Message[] }[]) {
  for (const { topic, messages } of topicMessages) {
    if (typeof topic !== 'string' || topic === '') throw misuse('Invalid topic');
    if (!Array.isArray(messages)) {
      throw misuse(`Invalid messages array [${typeof messages}] for topic "${topic}"`);
    }
    for (const message of messages) recordOf(topic, message, 0, false);
  }
}
