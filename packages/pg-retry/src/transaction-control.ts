import { type Token, tokenise } from './sql-tokens.js';
import { analyse } from './statement.js';

const KINDS: ReadonlySet<string> = new Set(['begin', 'commit', 'rollback', 'prepare-transaction']);
const VERBS: ReadonlySet<string> = new Set(['begin', 'start', 'commit', 'end', 'abort']);

/**
 * Whether a text begins or ends a transaction, alone or as one of several statements. A text that cannot
 * be read through counts as harmless, and so does one with a body that is BEGIN ATOMIC … END.
 */
export function controlsTransaction(text: string): boolean {
  const { kind } = analyse(text);
  if (kind !== 'multiple') return KINDS.has(kind);
  const tokens = tokenise(text) ?? [];
  if (tokens.some((token) => isWord(token, 'atomic'))) return false;
  return tokens.some(
    (_, at) => (at === 0 || tokens[at - 1]?.type === ';') && controls(tokens.slice(at, at + 3)),
  );
}

function controls([verb, ...rest]: readonly Token[]): boolean {
  if (verb?.type !== 'word') return false;
  if (verb.text === 'prepare') return isWord(rest[0], 'transaction');
  if (verb.text === 'rollback') return !rest.some((token) => isWord(token, 'to'));
  return VERBS.has(verb.text);
}

function isWord(token: Token | undefined, text: string): boolean {
  return token?.type === 'word' && token.text === text;
}
