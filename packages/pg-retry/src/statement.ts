import { rememberByText } from '@outlast/core-retry/connector';
import { type Token, tokenise } from './sql-tokens.js';
import { calledFunctions } from './statement-functions.js';

/**
 * What a SQL text is:
 * - `read`: one SELECT, VALUES, TABLE, SHOW or WITH … SELECT that changes nothing by its grammar. The
 *   functions it calls may still: see {@link Statement.functions}.
 * - `write`: one INSERT, UPDATE, DELETE or MERGE, with or without a WITH, or a WITH that holds one.
 * - `begin`, `commit`, `rollback`, `savepoint` (also RELEASE and ROLLBACK TO), `prepare-transaction`.
 * - `multiple`: several statements in one text.
 * - `other`: everything else, and every text that cannot be told with certainty.
 */
export type StatementKind =
  | 'read'
  | 'write'
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'prepare-transaction'
  | 'other'
  | 'multiple';

/** What {@link analyse} found in a text. */
export interface Statement {
  readonly kind: StatementKind;
  /**
   * The functions that a `read` calls, each once, as `name` or `schema.name`; a part stands in double
   * quotes only if it needs them (`parse_ident` reads it). Names too many are possible, where a name
   * before a parenthesis might be a call: what the catalogue does not know must count as harmful.
   * Empty for every other kind.
   */
  readonly functions: readonly string[];
}

const NO_FUNCTIONS: readonly string[] = Object.freeze([]);
const statement = (kind: StatementKind, functions = NO_FUNCTIONS): Statement =>
  Object.freeze({ kind, functions });
const OTHER: Statement = statement('other');

const MAX_TEXT = 1024 * 1024;

/**
 * Says what kind of statement a text is and which functions it calls, by its grammar alone. Up to 500
 * texts of at most 64 kB are remembered; a text over 1 MB is `other`.
 *
 * What a text cannot show: functions behind views, row security policies, operators, casts, and the
 * attribute notation (`t.f` for `f(t)`).
 */
export const analyse: (text: string) => Statement = rememberByText(analyseText);

function analyseText(text: string): Statement {
  const tokens = text.length > MAX_TEXT ? undefined : tokenise(text);
  if (!tokens) return OTHER;
  const single = onlyStatement(tokens);
  if (!single) return statement('multiple');
  if (!balanced(single)) return OTHER;
  const kind = kindOf(single);
  return kind === 'read'
    ? statement(kind, Object.freeze(calledFunctions(single)))
    : statement(kind);
}

/** The tokens between the semicolons, unless there are two lots of them. */
function onlyStatement(tokens: readonly Token[]): readonly Token[] | undefined {
  const start = tokens.findIndex((token) => token.type !== ';');
  if (start < 0) return [];
  const end = tokens.findIndex((token, at) => at > start && token.type === ';');
  if (end < 0) return start === 0 ? tokens : tokens.slice(start);
  return tokens.slice(end).every((token) => token.type === ';')
    ? tokens.slice(start, end)
    : undefined;
}

function balanced(tokens: readonly Token[]): boolean {
  let depth = 0;
  for (const { type } of tokens) {
    if (type === '(') depth++;
    else if (type === ')' && --depth < 0) return false;
  }
  return depth === 0;
}

const DML: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'merge']);
const isDml = (token: Token | undefined): boolean => token?.type === 'word' && DML.has(token.text);

function kindOf(tokens: readonly Token[]): StatementKind {
  const first = tokens.findIndex((token) => token.type !== '(');
  const verb = tokens[first];
  if (verb?.type !== 'word') return 'other';
  switch (verb.text) {
    case 'select':
    case 'values':
    case 'table':
      return readsOnly(tokens) ? 'read' : 'other';
    case 'with':
      return kindOfWith(tokens, first);
    default:
      return first === 0 ? kindOfBare(verb.text, tokens.slice(1, 3)) : 'other';
  }
}

/** Statements that cannot stand in parentheses. */
function kindOfBare(verb: string, rest: readonly Token[]): StatementKind {
  const [second, third] = rest.map((token) => (token.type === 'word' ? token.text : ''));
  switch (verb) {
    case 'show':
      return 'read';
    case 'insert':
    case 'update':
    case 'delete':
    case 'merge':
      return 'write';
    case 'begin':
      return 'begin';
    case 'start':
      return second === 'transaction' ? 'begin' : 'other';
    case 'commit':
    case 'end':
      return second === 'prepared' ? 'other' : 'commit';
    case 'rollback':
    case 'abort': {
      if (second === 'prepared') return 'other';
      const noise = second === 'work' || second === 'transaction';
      return (noise ? third : second) === 'to' ? 'savepoint' : 'rollback';
    }
    case 'savepoint':
    case 'release':
      return 'savepoint';
    case 'prepare':
      return second === 'transaction' ? 'prepare-transaction' : 'other';
    default:
      return 'other';
  }
}

const LOCKS: ReadonlySet<string> = new Set(['update', 'share', 'no', 'key']);

/** No INTO, no row locks, no WITH that writes. Errs towards false: a column may be called `update`. */
function readsOnly(tokens: readonly Token[]): boolean {
  let hasWith = false;
  let hasDml = false;
  // Behind a dot, and behind the AS of a label, any word is a name (an AS that is a name labels nothing).
  let label = false;
  for (const [at, token] of tokens.entries()) {
    const before = tokens[at - 1];
    label = before?.type === '.' || (before?.type === 'word' && before.text === 'as' && !label);
    if (token.type !== 'word' || label) continue;
    if (token.text === 'into') return false;
    if (token.text === 'for' && LOCKS.has(tokens[at + 1]?.text ?? '')) return false;
    hasWith ||= token.text === 'with';
    hasDml ||= DML.has(token.text);
  }
  return !(hasWith && hasDml);
}

/** Words behind which a word that looks like a verb is a name: a list of CTEs, SEARCH and CYCLE. */
const NAMES_FOLLOW: ReadonlySet<string> = new Set(
  'with recursive by set using cycle to default ,'.split(' '),
);

function kindOfWith(tokens: readonly Token[], first: number): StatementKind {
  let depth = 0;
  let verb: Token | undefined;
  let writes = false;
  for (let at = first + 1; at < tokens.length && !verb; at++) {
    const token = tokens[at] as Token;
    const before = tokens[at - 1] as Token;
    if (token.type === '(') {
      depth++;
      writes ||= isBodyStart(before) && isDml(tokens[at + 1]);
    } else if (token.type === ')') depth--;
    else if (depth === 0 && isVerb(token) && !NAMES_FOLLOW.has(before.text)) verb = token;
  }
  // Nothing that writes can stand in parentheses of its own.
  if (verb && first === 0 && (writes || isDml(verb))) return 'write';
  return verb && !isDml(verb) && readsOnly(tokens) ? 'read' : 'other';
}

const isVerb = (token: Token): boolean =>
  isDml(token) || (token.type === 'word' && /^(?:select|values|table)$/.test(token.text));

const isBodyStart = (before: Token): boolean =>
  before.type === 'word' && (before.text === 'as' || before.text === 'materialized');
