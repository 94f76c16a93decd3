import { type Classify, classifyError, type Failure, type Phase } from '@outlast/core-retry';
import { isFromScript, LONGER_REPLIES, type Meaning, REPLIES, replyWord } from './replies.js';

export { RETRYABLE_REPLIES } from './replies.js';

const cut: Meaning = { category: 'network', transient: true, sent: 'unknown' };
const unreachable: Meaning = { category: 'network', transient: true, sent: 'not-applied' };
const silent: Meaning = { category: 'timeout', transient: true, sent: 'unknown' };
const misuse: Meaning = { category: 'invalid', transient: false, sent: 'not-applied' };
const garbled: Meaning = { category: 'invalid', transient: false, sent: 'unknown' };

/** ioredis' own errors have no code. Source: every `new Error` in ioredis 5.9 … 6.0. */
const MESSAGES: ReadonlyMap<string, Meaning> = new Map([
  ['Connection is closed.', cut],
  ['Command aborted due to connection close', cut],
  ['Command timed out', silent],
  ["Stream isn't writeable and enableOfflineQueue options is false", unreachable],
  ["Cluster isn't ready and enableOfflineQueue options is false", unreachable],
  ['None of startup nodes is available', unreachable],
  ['Cluster is ended.', unreachable],
  ['Cluster is disconnected.', unreachable],
  ['Cluster is disconnecting.', unreachable],
  ['Node is disconnected', unreachable],
  ['No subscriber for the cluster', unreachable],
  ['timeout', silent],
  ['Redis is already connecting/connected', misuse],
  ['Connection in subscriber mode, only subscriber commands may be used', misuse],
  ["Connection is in monitoring mode, can't process commands.", misuse],
  ['All the keys in a pipeline command should belong to the same slot', misuse],
  ['All keys in the pipeline should belong to the same slots allocation group', misuse],
]);

/** As {@link MESSAGES}, where the message goes on. */
const MESSAGE_STARTS: readonly (readonly [string, Meaning])[] = [
  ['Socket timeout. Expecting data', silent],
  ['Reached the max retries per request limit', cut],
  ['All sentinels are unreachable', unreachable],
  ['Failed to refresh slots cache', unreachable],
  // What follows on a connection that garbles cannot be trusted either.
  ['Unknown RESP type', garbled],
  ['Protocol error', garbled],
  ['Command queue state error', garbled],
];

const TOO_MANY_REDIRECTIONS = 'Too many Cluster redirections. Last error: ';

/** Certificates and TLS set-up, by the names of OpenSSL's `X509_V_ERR_*` in Node's `tls` module. */
const TLS_CODE =
  /^(?:ERR_TLS_|ERR_OSSL_|UNABLE_TO|DEPTH_ZERO_SELF|SELF_SIGNED_CERT|CERT|CRL|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|ERROR_IN_C)/;

/** Codes of Node's errors after which the same command may succeed later, if it may run again at all. */
export const RETRYABLE_ERROR_CODES: readonly string[] = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
];

/**
 * Classifies what ioredis threw or Redis answered, by (phase, error): a connection that closes leaves a
 * sent command in the dark and harms none that waits. Total: any thrown value has an answer. What is
 * neither Redis' nor ioredis' is left to `classifyError`.
 */
export const classifyRedis: Classify = (error: unknown, phase: Phase): Failure => {
  try {
    return classify(error, phase, 3);
  } catch {
    return { category: 'unknown', transient: false, outcome: outcomeIn(phase, 'unknown') };
  }
};

function classify(error: unknown, phase: Phase, depth: number): Failure {
  const message = field(error, 'message') ?? '';
  if (depth > 0 && message.startsWith(TOO_MANY_REDIRECTIONS)) return redirected(message, phase);
  const lastNodeError = (error as { lastNodeError?: unknown } | null)?.lastNodeError;
  if (depth > 0 && lastNodeError instanceof Error) {
    // The nodes' refusal is the cluster's; nothing of the command itself had been sent.
    const failure = classify(lastNodeError, 'connect', depth - 1);
    return { ...failure, outcome: 'not-applied' };
  }
  const code = field(error, 'code');
  if (code !== undefined && TLS_CODE.test(code)) {
    return { category: 'auth', transient: false, outcome: 'not-applied', code };
  }
  const known =
    MESSAGES.get(message) ?? MESSAGE_STARTS.find(([start]) => message.startsWith(start))?.[1];
  if (known !== undefined) return failureOf(known, phase, code);
  if (isReply(error)) return classifyReply(message, phase);
  return classifyError(error, phase);
}

/** Whether the server said it. By name, for the classes of two copies of the driver are not the same. */
export function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}

function classifyReply(message: string, phase: Phase): Failure {
  const word = replyWord(message);
  const found =
    LONGER_REPLIES.find(([start]) => message.startsWith(start))?.[1] ?? REPLIES.get(word) ?? misuse;
  // A custom error of a script or module begins as its author likes.
  const failure = failureOf(found, phase, word || undefined);
  return isFromScript(message) ? { ...failure, outcome: outcomeIn(phase, 'unknown') } : failure;
}

/** The Cluster gave up; its last error stands in the text only. */
function redirected(message: string, phase: Phase): Failure {
  const last = message.slice(TOO_MANY_REDIRECTIONS.length).replace(/^(?:\w*Error): /, '');
  const word = replyWord(last);
  // A slot that moves, or whose node is away: the map of slots was stale, and nothing was run.
  if (word === 'MOVED' || word === 'ASK') {
    return { category: 'unavailable', transient: true, outcome: 'not-applied', code: word };
  }
  const reply = REPLIES.get(word);
  if (reply !== undefined) return failureOf(reply, phase, word);
  return failureOf(MESSAGES.get(last) ?? cut, phase);
}

function failureOf(meaning: Meaning, phase: Phase, code?: string): Failure {
  const { category, transient, sent } = meaning;
  const outcome = outcomeIn(phase, sent);
  return code === undefined
    ? { category, transient, outcome }
    : { category, transient, outcome, code };
}

function outcomeIn(phase: Phase, sent: Meaning['sent']): Meaning['sent'] {
  return phase === 'acquire' || phase === 'connect' ? 'not-applied' : sent;
}

function field(error: unknown, key: 'message' | 'code'): string | undefined {
  const value: unknown = (error as Record<string, unknown> | null | undefined)?.[key];
  return typeof value === 'string' ? value : undefined;
}
