import { OptionError } from '@outlast/core-retry';
import {
  type Check,
  type ConnectorRetryOptions,
  callable,
  duration,
  invalidOption,
  wholeNumber,
} from '@outlast/core-retry/connector';
import type { RetryOptions as DriverRetryOptions } from 'kafkajs';

/** kafkajs' words for what is under `retry`. They keep their meaning: times are milliseconds in both. */
export interface DriverVocabulary {
  /** Retries after the first attempt: `maxAttempts` less one. */
  readonly retries?: number;
  /** `baseDelayMs`. */
  readonly initialRetryTime?: number;
  /** `maxDelayMs`. */
  readonly maxRetryTime?: number;
  /** `jitter`, as a ratio. */
  readonly factor?: number;
  /** `backoffFactor`. */
  readonly multiplier?: number;
  /** kafkajs' own: whether a consumer that crashed starts again. */
  readonly restartOnFailure?: (error: Error) => Promise<boolean>;
}

type Theirs = Exclude<keyof DriverVocabulary, 'restartOnFailure'>;
type Ours = 'maxAttempts' | 'baseDelayMs' | 'maxDelayMs' | 'jitter' | 'backoffFactor';

interface Word {
  readonly ours: Ours;
  readonly valid: Check;
  readonly toOurs: (value: number) => number;
  /** Undefined if kafkajs has no way to say it. */
  readonly toTheirs: (value: unknown) => number | undefined;
}

const same = (value: number): number => value;
const number = (value: unknown): number | undefined =>
  typeof value === 'number' ? value : undefined;
const ratio: Check = (value) =>
  typeof value === 'number' && value >= 0 && value <= 1 ? undefined : 'a ratio from 0 to 1';
const factor: Check = (value) =>
  typeof value === 'number' && value >= 1 && value <= 1000 ? undefined : 'a number from 1 to 1000';

const WORDS: Readonly<Record<Theirs, Word>> = {
  retries: {
    ours: 'maxAttempts',
    valid: wholeNumber(0, true),
    // kafkajs' idempotent producers are told Number.MAX_SAFE_INTEGER.
    toOurs: (value) => Math.min(value + 1, Number.MAX_SAFE_INTEGER),
    toTheirs: (value) => Math.min(Number(value) - 1, Number.MAX_SAFE_INTEGER),
  },
  initialRetryTime: { ours: 'baseDelayMs', valid: duration(), toOurs: same, toTheirs: number },
  maxRetryTime: { ours: 'maxDelayMs', valid: duration(), toOurs: same, toTheirs: number },
  factor: {
    ours: 'jitter',
    valid: ratio,
    toOurs: same,
    toTheirs: (value) => (typeof value === 'boolean' ? (value ? 0.5 : 0) : number(value)),
  },
  multiplier: { ours: 'backoffFactor', valid: factor, toOurs: same, toTheirs: number },
};

/**
 * Reads both vocabularies, each value once.
 *
 * @returns ours for our own parts, kafkajs' for the parts that are kafkajs' own
 * @throws OptionError if both are given for one value, or one is not valid
 */
export function translate(retry: (ConnectorRetryOptions & DriverVocabulary) | undefined): {
  readonly own: ConnectorRetryOptions;
  readonly driver: DriverRetryOptions | undefined;
} {
  if (retry === undefined) return { own: {}, driver: undefined };
  if (typeof retry !== 'object' || retry === null || Array.isArray(retry)) {
    throw invalidOption('retry', retry, 'an object of options');
  }
  const { restartOnFailure, ...rest } = retry;
  const own: Record<string, unknown> = { ...rest };
  const driver: Record<string, unknown> = {};
  if (restartOnFailure !== undefined) {
    const valid = callable(restartOnFailure);
    if (valid !== undefined) throw invalidOption('retry.restartOnFailure', restartOnFailure, valid);
    driver['restartOnFailure'] = restartOnFailure;
  }
  for (const [theirs, word] of Object.entries(WORDS)) {
    const given = own[theirs];
    delete own[theirs];
    const ours = own[word.ours];
    if (given !== undefined) {
      if (ours !== undefined) {
        throw new OptionError(
          `retry.${theirs}`,
          `says the same as retry.${word.ours}: give one of them.`,
        );
      }
      const valid = word.valid(given);
      if (valid !== undefined) throw invalidOption(`retry.${theirs}`, given, valid);
      driver[theirs] = given;
      own[word.ours] = word.toOurs(given as number);
    } else if (ours !== undefined) {
      const said = word.toTheirs(ours);
      if (said !== undefined) driver[theirs] = said;
    }
  }
  return {
    own: own as ConnectorRetryOptions,
    driver: Object.keys(driver).length > 0 ? (driver as DriverRetryOptions) : undefined,
  };
}

/** What was said in kafkajs' words, for those of its parts to which ours are another matter. */
export function theirWords(
  retry: ConnectorRetryOptions & DriverVocabulary,
): DriverRetryOptions | undefined {
  const theirs = [...Object.keys(WORDS), 'restartOnFailure'];
  const said = Object.entries(retry).filter(
    ([key, value]) => theirs.includes(key) && value !== undefined,
  );
  return said.length > 0 ? (Object.fromEntries(said) as DriverRetryOptions) : undefined;
}

/** A client's options under those of one of its parts, each in whichever words. */
export function narrowRetry(
  base: (ConnectorRetryOptions & DriverVocabulary) | undefined,
  retry: ConnectorRetryOptions & DriverVocabulary,
): ConnectorRetryOptions & DriverVocabulary {
  const restartOnFailure = retry.restartOnFailure ?? base?.restartOnFailure;
  return {
    ...translate(base).own,
    ...translate(retry).own,
    ...(restartOnFailure !== undefined && { restartOnFailure }),
  };
}
