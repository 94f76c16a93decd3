import type { Category, Outcome } from '@outlast/core-retry';

/** What an error means if the command had been sent. */
export interface Meaning {
  readonly category: Category;
  readonly transient: boolean;
  readonly sent: Outcome;
}

const meaning = (category: Category, transient: boolean, sent: Outcome): Meaning => ({
  category,
  transient,
  sent,
});

const away = meaning('unavailable', true, 'not-applied');
const refused = meaning('invalid', false, 'not-applied');
const forbidden = meaning('auth', false, 'not-applied');
const conflict = meaning('conflict', false, 'not-applied');

/**
 * What Redis answers, by the first word of its error. In every row the server has refused the command
 * before it ran. Source: `addReplyErrorObject`, `shared.*err` and `addReplyError` in Redis 7.0.15;
 * recorded live for most (test/fixtures).
 */
export const REPLIES: ReadonlyMap<string, Meaning> = new Map([
  ['LOADING', away],
  ['BUSY', away],
  ['READONLY', away],
  ['MASTERDOWN', away],
  ['CLUSTERDOWN', away],
  ['TRYAGAIN', away],
  ['NOREPLICAS', away],
  ['MISCONF', away],
  // Of a blocking command: the server became a replica while it waited.
  ['UNBLOCKED', away],
  // To try again makes it worse.
  ['OOM', meaning('resource-exhausted', false, 'not-applied')],
  ['NOAUTH', forbidden],
  ['WRONGPASS', forbidden],
  ['NOPERM', forbidden],
  ['DENIED', forbidden],
  ['MOVED', refused],
  ['ASK', refused],
  ['CROSSSLOT', refused],
  ['WRONGTYPE', refused],
  ['EXECABORT', refused],
  ['NOPROTO', refused],
  ['NOTBUSY', refused],
  ['UNKILLABLE', refused],
  ['INPROG', refused],
  ['NOGOODSLAVE', refused],
  ['NOTREADY', refused],
  ['NOQUORUM', refused],
  ['ERR', refused],
  ['BUSYKEY', conflict],
  ['BUSYGROUP', conflict],
  ['NOGROUP', meaning('not-found', false, 'not-applied')],
  ['NOSCRIPT', meaning('not-found', false, 'not-applied')],
  ['NOMASTERLINK', away],
]);

/** Answers that begin with ERR or another word of the table and mean something else. Same source. */
export const LONGER_REPLIES: readonly (readonly [string, Meaning])[] = [
  ['ERR max number of clients', meaning('resource-exhausted', true, 'not-applied')],
  ['ERR max number of clients + cluster', meaning('resource-exhausted', true, 'not-applied')],
  ['ERR invalid password', forbidden],
  ['ERR operation not permitted', forbidden],
  ['UNBLOCKED client unblocked via CLIENT UNBLOCK', meaning('cancelled', false, 'not-applied')],
  // Neither an error of the protocol nor its answer can be told apart from what was asked.
  ['ERR Protocol error', meaning('invalid', false, 'unknown')],
];

/**
 * Answers that say "not now" and that the server takes back by itself or another one gives in its
 * place: waited for, as while it cannot be reached. The others of the transient ones are attempts.
 */
const WAITED_FOR: ReadonlySet<string> = new Set([
  'LOADING',
  'READONLY',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'UNBLOCKED',
]);

/** The first words of answers after which the same command may succeed later. */
export const RETRYABLE_REPLIES: readonly string[] = [...REPLIES]
  .filter(([, { transient }]) => transient)
  .map(([word]) => word);

/** Redis' own word for the error, or ''. */
export function replyWord(message: string): string {
  return /^[A-Z]+/.exec(message)?.[0] ?? '';
}

/** Whether the answer is waited out, rather than counted as an attempt. */
export function isWaitedFor(message: string): boolean {
  return WAITED_FOR.has(replyWord(message));
}

/** A script failed half-way: what it did before stays done. Redis 6: "Error running script", 7: "script: …". */
export function isFromScript(message: string): boolean {
  return / script: [0-9a-f]{40}|^ERR Error (?:running|compiling) script|@user_script/.test(message);
}
