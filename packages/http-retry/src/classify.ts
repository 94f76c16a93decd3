import {
  type Classify,
  classifyError,
  classifySystemError,
  type Failure,
  type Phase,
  parseRetryAfter,
} from '@outlast/core-retry';
import { codeMeaning } from './codes.js';
import { type Meaning, meaningOf } from './statuses.js';
import { tlsMeaning } from './tls.js';

export { RETRYABLE_ERROR_CODES } from './codes.js';
export { RETRYABLE_STATUSES } from './statuses.js';

// How deep a network error may be hidden: fetch wraps it once, axios' fetch adapter once more.
const MOST_CAUSES = 3;

/**
 * What an error of axios, of `fetch`, of undici and its like means: by the status of its answer, else by
 * its code, else by its cause. Knows nothing of methods: whether a request may run twice is the rule's
 * affair.
 */
export const classifyHttp: Classify = (error, phase): Failure => {
  const status = statusOf(error);
  if (status !== undefined) return byStatus(error, status, phase);
  return byCode(error, phase) ?? classifyError(error, phase);
};

/** The status of the answer that an error is about: a refusal, not an answer that was cut. */
function statusOf(error: unknown): number | undefined {
  const response = read(error, 'response');
  const status =
    number(read(response, 'status')) ??
    number(read(response, 'statusCode')) ??
    number(read(error, 'status')) ??
    number(read(error, 'statusCode'));
  if (status === undefined || status < 300 || status > 599) return undefined;
  return status;
}

function byStatus(error: unknown, status: number, phase: Phase): Failure {
  const headers = read(read(error, 'response'), 'headers') ?? read(error, 'headers');
  const retryAfterMs = hintOf(headers);
  const [category, transient, sent] = meaningOf(status, retryAfterMs !== undefined);
  const failure = { category, transient, outcome: outcomeIn(phase, sent), code: String(status) };
  return transient && retryAfterMs !== undefined ? { ...failure, retryAfterMs } : failure;
}

/** What `Retry-After` asks for, against the server's own clock, in milliseconds; undefined if it is no hint. */
function hintOf(headers: unknown): number | undefined {
  const value = header(headers, 'retry-after');
  if (value === undefined) return undefined;
  const date = Date.parse(header(headers, 'date') ?? '');
  return parseRetryAfter(value, Number.isNaN(date) ? Date.now() : date);
}

function byCode(error: unknown, phase: Phase, depth = 0): Failure | undefined {
  const code = text(read(error, 'code'));
  const message = text(read(error, 'message')) ?? '';
  // axios says ERR_BAD_RESPONSE of a cut body, of one that is too long, and of what is not JSON. Until 1.7 it says
  // of a cut one, too, that it is longer than the limit, which is none.
  if (code === 'ERR_BAD_RESPONSE') {
    const cut = /aborted|premature|size of (-1|Infinity) exceeded/i.test(message);
    return failureOf([cut ? 'network' : 'invalid', cut, 'unknown'], phase, code);
  }
  // And ERR_BAD_REQUEST without an answer of a request that it did not want to send.
  if (code === 'ERR_BAD_REQUEST') {
    return failureOf(['invalid', false, 'not-applied'], phase, code);
  }
  if (code === 'ECONNABORTED' && /timeout/i.test(message)) {
    return failureOf(['timeout', true, 'unknown'], phase, code);
  }
  // A handshake that was cut: the message is Node's only hint.
  if (code === 'ECONNRESET' && /before secure TLS connection/i.test(message)) {
    return failureOf(['network', true, 'not-applied'], phase, code);
  }
  const wrapped = code === undefined || code === 'ERR_NETWORK';
  if (wrapped && depth < MOST_CAUSES) {
    const behind = byCode(read(error, 'cause'), phase, depth + 1);
    if (behind !== undefined) return behind;
  }
  const meaning = code === undefined ? undefined : (tlsMeaning(code, message) ?? codeMeaning(code));
  if (meaning !== undefined) return failureOf(meaning, phase, code);
  const system = classifySystemError(error, phase);
  if (system !== undefined) return system;
  // AbortSignal.timeout() of the caller's own, made anew for each attempt.
  if (read(error, 'name') === 'TimeoutError') return failureOf(['timeout', true, 'unknown'], phase);
  // undici: a body that ends early.
  if (message === 'terminated') return failureOf(['network', true, 'unknown'], phase);
  return undefined;
}

function failureOf([category, transient, sent]: Meaning, phase: Phase, code?: string): Failure {
  const failure = { category, transient, outcome: outcomeIn(phase, sent) };
  return code === undefined ? failure : { ...failure, code };
}

function outcomeIn(phase: Phase, sent: Failure['outcome']): Failure['outcome'] {
  return phase === 'acquire' || phase === 'connect' ? 'not-applied' : sent;
}

/** A header of axios, of fetch, or of a plain object. */
export function header(headers: unknown, name: string): string | undefined {
  const get = read(headers, 'get');
  let value: unknown;
  try {
    value = typeof get === 'function' ? get.call(headers, name) : read(headers, name);
  } catch {
    return undefined;
  }
  if (Array.isArray(value)) value = value[0];
  return text(value) ?? (typeof value === 'number' ? String(value) : undefined);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
}

// Any value can be thrown, a hostile proxy too: reading it must not throw.
function read(value: unknown, key: string): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null)
    return undefined;
  try {
    return (value as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}
