import {
  type Category,
  type Classify,
  classifyError,
  classifySystemError,
  type Failure,
  type Outcome,
  type Phase,
} from '@outlast/core-retry';

type Row = readonly [category: Category, transient: boolean, sent: Outcome];

/**
 * Codes of brokers, by what they mean for an operation that was asked for once. Which are transient:
 * Kafka's `Errors.java` (RetriableException), which kafkajs' list agrees with where both know a code.
 * `unknown` where the broker may have acted before it answered so (`verdicts.ts`).
 */
const CODES: Readonly<Record<number, Row>> = {
  [-1]: ['unavailable', true, 'unknown'],
  1: ['invalid', false, 'not-applied'],
  2: ['network', true, 'not-applied'],
  3: ['unavailable', true, 'unknown'],
  4: ['invalid', false, 'not-applied'],
  5: ['unavailable', true, 'unknown'],
  6: ['unavailable', true, 'unknown'],
  7: ['timeout', true, 'unknown'],
  8: ['unavailable', true, 'not-applied'],
  9: ['unavailable', true, 'unknown'],
  10: ['invalid', false, 'not-applied'],
  11: ['unavailable', true, 'not-applied'],
  12: ['invalid', false, 'not-applied'],
  13: ['network', true, 'unknown'],
  14: ['unavailable', true, 'not-applied'],
  15: ['unavailable', true, 'not-applied'],
  16: ['unavailable', true, 'not-applied'],
  17: ['invalid', false, 'not-applied'],
  18: ['invalid', false, 'not-applied'],
  19: ['unavailable', true, 'not-applied'],
  20: ['unavailable', true, 'unknown'],
  22: ['contention', true, 'not-applied'],
  25: ['contention', true, 'not-applied'],
  27: ['contention', true, 'not-applied'],
  29: ['auth', false, 'not-applied'],
  30: ['auth', false, 'not-applied'],
  31: ['auth', false, 'not-applied'],
  32: ['invalid', false, 'not-applied'],
  33: ['auth', false, 'not-applied'],
  34: ['auth', false, 'not-applied'],
  36: ['conflict', false, 'not-applied'],
  41: ['unavailable', true, 'not-applied'],
  45: ['invalid', false, 'unknown'],
  47: ['conflict', false, 'unknown'],
  51: ['contention', true, 'not-applied'],
  53: ['auth', false, 'not-applied'],
  54: ['auth', false, 'not-applied'],
  56: ['unavailable', true, 'unknown'],
  58: ['auth', false, 'not-applied'],
  59: ['invalid', false, 'unknown'],
  69: ['not-found', false, 'not-applied'],
  70: ['unavailable', true, 'not-applied'],
  71: ['unavailable', true, 'not-applied'],
  72: ['unavailable', true, 'unknown'],
  74: ['unavailable', true, 'unknown'],
  75: ['unavailable', true, 'unknown'],
  78: ['unavailable', true, 'not-applied'],
  80: ['unavailable', true, 'not-applied'],
  83: ['unavailable', true, 'not-applied'],
  84: ['unavailable', true, 'not-applied'],
  87: ['invalid', false, 'not-applied'],
  88: ['unavailable', true, 'not-applied'],
  89: ['throttled', true, 'not-applied'],
  90: ['conflict', false, 'unknown'],
  100: ['unavailable', true, 'unknown'],
  103: ['unavailable', true, 'unknown'],
};

/** Codes of brokers after which the same request may succeed later, if it may be repeated at all. */
export const RETRYABLE_CODES: readonly number[] = Object.keys(CODES)
  .map(Number)
  .filter((code) => CODES[code]?.[1])
  .sort((a, b) => a - b);

/** What kafkajs' own errors mean, by name. Source: kafkajs 2.2.4, `src/errors.js`. */
const NAMES: Readonly<Record<string, Row>> = {
  KafkaJSRequestTimeoutError: ['timeout', true, 'unknown'],
  KafkaJSConnectionClosedError: ['network', true, 'unknown'],
  KafkaJSConnectionError: ['network', true, 'unknown'],
  KafkaJSBrokerNotFound: ['unavailable', true, 'not-applied'],
  KafkaJSNoBrokerAvailableError: ['unavailable', true, 'not-applied'],
  KafkaJSMetadataNotLoaded: ['unavailable', true, 'not-applied'],
  KafkaJSTopicMetadataNotLoaded: ['unavailable', true, 'not-applied'],
  KafkaJSStaleTopicMetadataAssignment: ['unavailable', true, 'not-applied'],
  KafkaJSGroupCoordinatorNotFound: ['unavailable', true, 'not-applied'],
  KafkaJSLockTimeout: ['timeout', true, 'unknown'],
  KafkaJSPartialMessageError: ['network', true, 'unknown'],
  KafkaJSSASLAuthenticationError: ['auth', false, 'not-applied'],
  KafkaJSNotImplemented: ['invalid', false, 'not-applied'],
  KafkaJSServerDoesNotSupportApiKey: ['invalid', false, 'not-applied'],
  KafkaJSInvariantViolation: ['invalid', false, 'unknown'],
};

/** Certificates and TLS set-up, by the names of Node's `tls` module. */
const TLS_CODE =
  /^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL_|UNABLE_TO|DEPTH_ZERO_SELF|SELF_SIGNED_CERT|CERT|CRL|INVALID_CA|HOSTNAME_MISMATCH)/;

/** Source: kafkajs 2.2.4, `src/network/connection.js`: what it says of a connection that is lost, not refused. */
const LOST_MEANWHILE =
  /Connection error|Closed connection|Connection timeout|timed out|Not connected|disconnected/;

const MOST_CAUSES = 8;

/**
 * Classifies what kafkajs threw or a broker answered, by its deepest cause: the outer errors of kafkajs say
 * `retriable: false` of everything that its own retries did not cure. Total: any thrown value has an answer.
 */
export const classifyKafka: Classify = (error: unknown, phase: Phase): Failure => {
  try {
    return classify(deepest(error), phase);
  } catch {
    return { category: 'unknown', transient: false, outcome: unsent(phase) ?? 'unknown' };
  }
};

function classify(error: unknown, phase: Phase): Failure {
  const { name, code, message, errors } = (error ?? {}) as {
    name?: unknown;
    code?: unknown;
    message?: unknown;
    errors?: unknown;
  };
  const text = typeof message === 'string' ? message : '';
  if (name === 'KafkaJSAggregateError' && Array.isArray(errors) && errors.length > 0) {
    return foldAll(errors, phase);
  }
  if (typeof code === 'number') {
    const number = code === -99 ? Number(/(-?\d+)\s*$/.exec(text)?.[1] ?? code) : code;
    return failure(CODES[number] ?? ['invalid', false, 'unknown'], phase, String(number));
  }
  if (typeof code === 'string' && TLS_CODE.test(code)) {
    return { category: 'auth', transient: false, outcome: 'not-applied', code };
  }
  // kafkajs keeps a socket's code, and drops the syscall that says whether anything was sent.
  if (/\bconnect E|getaddrinfo|^Not connected|Connection timeout/.test(text)) phase = 'connect';
  const system = classifySystemError(error, phase);
  if (system !== undefined) return system;
  // kafkajs says "authentication failed" of a connection that was lost meanwhile, too, and drops the cause.
  if (name === 'KafkaJSSASLAuthenticationError' && LOST_MEANWHILE.test(text)) {
    return { category: 'network', transient: true, outcome: 'not-applied' };
  }
  const known = typeof name === 'string' ? NAMES[name] : undefined;
  if (known !== undefined) return failure(known, phase);
  if (isPoolBug(error, text)) return failure(['unavailable', true, 'unknown'], phase);
  if (typeof name === 'string' && name.startsWith('KafkaJS')) return byFlag(error, phase);
  return classifyError(error, phase);
}

/** kafkajs trips over its own pool of brokers while it reconnects. */
function isPoolBug(error: unknown, text: string): boolean {
  return (
    error instanceof TypeError &&
    /^Cannot read propert(?:y|ies) (?:of undefined \(reading '|')connect/.test(text)
  );
}

// What has no name in the table is a caller's mistake if kafkajs says that it is final.
function byFlag(error: unknown, phase: Phase): Failure {
  const final = (error as { retriable?: unknown }).retriable === false;
  return failure(final ? ['invalid', false, 'not-applied'] : ['unknown', true, 'unknown'], phase);
}

/** Several topics or brokers: it may be repeated if each of them may, and is unknown if any is. */
function foldAll(errors: readonly unknown[], phase: Phase): Failure {
  const failures = errors.slice(0, 64).map((one) => classifyKafka(one, phase));
  const worst = failures.find((one) => !one.transient) ?? (failures[0] as Failure);
  const outcome = failures.some((one) => one.outcome === 'unknown') ? 'unknown' : 'not-applied';
  return { ...worst, outcome };
}

function failure([category, transient, sent]: Row, phase: Phase, code?: string): Failure {
  const outcome = unsent(phase) ?? sent;
  return code === undefined
    ? { category, transient, outcome }
    : { category, transient, outcome, code };
}

function unsent(phase: Phase): Outcome | undefined {
  return phase === 'acquire' || phase === 'connect' ? 'not-applied' : undefined;
}

function deepest(error: unknown): unknown {
  let found = error;
  for (let depth = 0; depth < MOST_CAUSES; depth++) {
    const { name, cause } = (found ?? {}) as { name?: unknown; cause?: unknown };
    const wraps = typeof name === 'string' && name.startsWith('KafkaJS');
    if (!wraps || cause === undefined || cause === null) break;
    found = cause;
  }
  return found;
}
