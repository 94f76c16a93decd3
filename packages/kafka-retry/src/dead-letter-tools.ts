import type { Clock } from '@outlast/core-retry';
import {
  abortSignal,
  type Check,
  callable,
  checkOptions,
  flag,
  invalidOption,
  type Known,
  nonEmptyText,
} from '@outlast/core-retry/connector';
import { type DeadLetter, lettersOf, REPLAYED, rangesOf } from './dead-letter-log.js';
import type { Kafka } from './kafka.js';

/** Which letters. */
export interface LettersOptions {
  /** The dead-letter topic. */
  readonly topic: string;
  /** Default: all of them. */
  readonly filter?: (letter: DeadLetter) => boolean;
  readonly signal?: AbortSignal;
}

/** Options of `replayDeadLetters()`. */
export interface ReplayOptions extends LettersOptions {
  /** Messages a second, at most. Default: as fast as they are taken. */
  readonly ratePerSecond?: number;
  /** Whether those that have been replayed before are replayed again. Default false. */
  readonly again?: boolean;
}

/** What became of the letters. */
export interface Replayed {
  /** Acknowledged by the topic that they came from. */
  readonly replayed: number;
  /** Left alone: the filter did not want them, or they had been replayed before. */
  readonly skipped: number;
  readonly failed: number;
  /** The first hundred of those that failed, each with its error. */
  readonly failures: readonly { readonly letter: DeadLetter; readonly error: unknown }[];
}

/** Options of `purgeDeadLetters()`. */
export interface PurgeOptions {
  readonly topic: string;
  /** Only what was written before. Default: all that is there now. */
  readonly before?: Date;
  /** Only up to the first letter, in each partition, that has not been replayed. Default false. */
  readonly replayedOnly?: boolean;
}

const LETTERS: Known<LettersOptions> = {
  topic: nonEmptyText,
  filter: callable,
  signal: abortSignal,
};
const rate: Check = (value) =>
  typeof value === 'number' && value > 0 ? undefined : 'a number above 0';
const REPLAY: Known<ReplayOptions> = { ...LETTERS, ratePerSecond: rate, again: flag };
const date: Check = (value) =>
  value instanceof Date && Number.isFinite(value.getTime()) ? undefined : 'a Date';
const PURGE: Known<PurgeOptions> = { topic: nonEmptyText, before: date, replayedOnly: flag };

const MOST_AT_ONCE = 64;
const MOST_FAILURES = 100;

/**
 * The dead letters that are there when it is called, partition by partition, in order. What is no dead letter of this
 * package is left out.
 *
 * @throws OptionError naming the option, the value and what is valid
 */
export function listDeadLetters(kafka: Kafka, options: LettersOptions): AsyncGenerator<DeadLetter> {
  check(options, LETTERS);
  return chosen(kafka, options);
}

/**
 * Sends dead letters to where they came from, to the same partition, with their key, value and own headers, and
 * `x-dlt-replayed-from`. Each is marked in its topic when it was acknowledged, and not replayed again unless `again`.
 *
 * @returns when all have ended; what could not be sent is told, and does not stop the others
 * @throws OptionError naming the option, the value and what is valid; the signal's reason
 */
export async function replayDeadLetters(kafka: Kafka, options: ReplayOptions): Promise<Replayed> {
  check(options, REPLAY);
  const { topic, filter, again = false, signal, ratePerSecond = Infinity } = options;
  const { clock } = kafka.policy.settings;
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  const under = new Set<Promise<void>>();
  const failures: { letter: DeadLetter; error: unknown }[] = [];
  let [replayed, skipped, failed] = [0, 0, 0];

  const replay = async (letter: DeadLetter): Promise<void> => {
    const { partition, offset, key, value, headers, original } = letter;
    const from = `${topic}/${partition}/${offset}`;
    try {
      await producer.send({
        topic: original.topic,
        messages: [
          {
            partition: original.partition,
            ...{ key, value },
            headers: { ...headers, 'x-dlt-replayed-from': from },
          },
        ],
      });
      replayed += 1;
      const mark = { partition, key: null, value: null, headers: { [REPLAYED]: offset } };
      await producer.send({ topic, messages: [mark] });
    } catch (error) {
      failed += 1;
      if (failures.length < MOST_FAILURES) failures.push({ letter, error });
    }
  };

  try {
    const startAt = clock.now();
    let taken = 0;
    for await (const letter of chosen(kafka, { topic, ...(signal && { signal }) })) {
      if ((letter.replays > 0 && !again) || (filter !== undefined && !filter(letter))) {
        skipped += 1;
        continue;
      }
      await until(startAt + (1000 * taken) / ratePerSecond, clock, signal);
      taken += 1;
      const one = replay(letter).finally(() => under.delete(one));
      under.add(one);
      if (under.size >= MOST_AT_ONCE) await Promise.race(under);
    }
  } finally {
    // Also when it is called off: what has been sent is to be marked.
    await Promise.all(under);
    await producer.disconnect();
  }
  return { replayed, skipped, failed, failures };
}

/**
 * Deletes dead letters, from the first on: Kafka deletes no others. What is written meanwhile is kept.
 *
 * @returns how many records were deleted: letters and their marks
 * @throws OptionError naming the option, the value and what is valid
 */
export async function purgeDeadLetters(kafka: Kafka, options: PurgeOptions): Promise<number> {
  check(options, PURGE);
  const { topic, before, replayedOnly = false } = options;
  const ends = new Map<number, bigint>();
  const ranges = await rangesOf(kafka, topic);
  for (const { partition, to } of ranges) ends.set(partition, BigInt(to));
  const lower = (partition: number, offset: string): void => {
    const end = ends.get(partition);
    if (end !== undefined && BigInt(offset) < end) ends.set(partition, BigInt(offset));
  };
  if (before !== undefined || replayedOnly) {
    for await (const { partition, offset, timestamp, replays } of lettersOf(kafka, topic)) {
      const isYoung = before !== undefined && timestamp >= before.getTime();
      if (isYoung || (replayedOnly && replays === 0)) lower(partition, offset);
    }
  }
  const wanted = ranges
    .map(({ partition, from }) => ({ partition, from, end: ends.get(partition) ?? 0n }))
    .filter(({ from, end }) => end > BigInt(from));
  if (wanted.length === 0) return 0;
  const partitions = wanted.map(({ partition, end }) => ({ partition, offset: String(end) }));
  const admin = kafka.admin();
  try {
    await admin.connect();
    // kafkajs looks for the leaders before it asks for them.
    await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions });
  } finally {
    await admin.disconnect();
  }
  return wanted.reduce((sum, { from, end }) => sum + Number(end - BigInt(from)), 0);
}

async function* chosen(
  kafka: Kafka,
  { topic, filter, signal }: LettersOptions,
): AsyncGenerator<DeadLetter> {
  for await (const letter of lettersOf(kafka, topic, signal)) {
    if (filter === undefined || filter(letter)) yield letter;
  }
}

function check<T extends { readonly topic: string }>(options: T, known: Known<T>): void {
  checkOptions('', options, known);
  const valid = nonEmptyText(options.topic);
  if (valid !== undefined) throw invalidOption('topic', options.topic, valid);
}

async function until(at: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const ms = at - clock.now();
  if (ms <= 0) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.setTimeout(end, ms);
    signal?.addEventListener('abort', end, { once: true });
  });
  signal?.throwIfAborted();
}
