import { rememberByText } from '@outlast/core-retry/connector';
import { type Token, tokenise } from './sql-tokens.js';
import { calledFunctions } from './statement-functions.js';

/**
 * What a SQL text is:
 * - `read`: one SELECT, VALUES, TABLE, SHOW or WITH … SELECT that changes nothing by its grammar and asks
 *   for nothing that only its own session knows. The functions it calls may still write: see
 *   {@link Statement.functions}.
 * - `write`: one INSERT, REPLACE, UPDATE or DELETE, with or without a WITH.
 * - `begin`, `commit`, `rollback`, `savepoint` (also RELEASE and ROLLBACK TO).
 * - `ends-transaction`: one that commits what came before it (DDL, LOCK TABLES, SET autocommit, …).
 * - `multiple`: several statements in one text.
 * - `other`: everything else, and every text that cannot be told with certainty.
 */
type StatementKind =
  | 'read'
  | 'write'
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'ends-transaction'
  | 'other'
  | 'multiple';

/** What {@link analyse} found in a text. */
export interface Statement {
  readonly kind: StatementKind;
  /** What a `read` calls, each once, in lower case; `schema.name` where it is qualified. */
  readonly functions: readonly string[];
  /** The one table that a `write` names as its target: `[table]` or `[schema, table]`. */
  readonly target?: readonly string[];
}

const NO_FUNCTIONS: readonly string[] = Object.freeze([]);
const statement = (kind: StatementKind, more: Partial<Statement> = {}): Statement =>
  Object.freeze({ kind, functions: NO_FUNCTIONS, ...more });
const OTHER: Statement = statement('other');

const MAX_TEXT = 1024 * 1024;

/**
 * Says what kind of statement a text is and which functions it calls, by its grammar alone. Up to 500
 * texts of at most 64 kB are remembered; a text over 1 MB is `other`.
 *
 * What a text cannot show: functions behind views and triggers.
 */
export const analyse: (text: string) => Statement = rememberByText(analyseText);

function analyseText(text: string): Statement {
  const tokens = text.length > MAX_TEXT ? undefined : tokenise(text);
  if (!tokens) return OTHER;
  const single = onlyStatement(tokens);
  if (!single) return statement('multiple');
  if (!balanced(single)) return OTHER;
  const kind = kindOf(single);
  if (kind === 'read') {
    const functions = calledFunctions(single);
    return functions === undefined
      ? OTHER
      : statement(kind, { functions: Object.freeze(functions) });
  }
  const target = kind === 'write' ? targetOf(single) : undefined;
  return target === undefined ? statement(kind) : statement(kind, { target });
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

const isWord = (token: Token | undefined, ...texts: readonly string[]): boolean =>
  token?.type === 'word' && texts.includes(token.text);

/** Statements that commit what came before them. Source: MySQL's and MariaDB's lists of implicit commits. */
const IMPLICIT_COMMITS: ReadonlySet<string> = new Set(
  'alter analyze cache change check create drop flush grant install lock optimize purge rename repair reset revoke stop truncate uninstall unlock xa'.split(
    ' ',
  ),
);

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
      return kindOfWith(tokens);
    default:
      return first === 0 ? kindOfBare(verb.text, tokens) : 'other';
  }
}

/** Statements that cannot stand in parentheses. */
function kindOfBare(verb: string, tokens: readonly Token[]): StatementKind {
  const [, second, third] = tokens;
  if (IMPLICIT_COMMITS.has(verb)) return temporary(verb, second) ? 'other' : 'ends-transaction';
  switch (verb) {
    case 'show':
      // What the session before it left behind is not on another connection.
      return tokens.some((token) => isWord(token, 'warnings', 'errors')) ? 'other' : 'read';
    case 'insert':
    case 'replace':
    case 'update':
    case 'delete':
      return 'write';
    case 'begin':
      return isWord(second, 'not') ? 'other' : 'begin';
    case 'start':
      return isWord(second, 'transaction') ? 'begin' : 'ends-transaction';
    case 'commit':
      return 'commit';
    case 'rollback':
      return isWord(isWord(second, 'work') ? third : second, 'to') ? 'savepoint' : 'rollback';
    case 'savepoint':
    case 'release':
      return 'savepoint';
    case 'set':
      return tokens.some((token) => /\bautocommit$/i.test(token.text) || isWord(token, 'password'))
        ? 'ends-transaction'
        : 'other';
    default:
      return 'other';
  }
}

/** CREATE and DROP TEMPORARY TABLE commit nothing. */
function temporary(verb: string, second: Token | undefined): boolean {
  return (verb === 'create' || verb === 'drop') && isWord(second, 'temporary');
}

/** No INTO, no row locks, no user variables. Errs towards false: a column may be called `lock`. */
function readsOnly(tokens: readonly Token[]): boolean {
  for (const [at, token] of tokens.entries()) {
    // A user's variable is its session's; on another connection it is NULL.
    if (token.type === 'variable' && !token.text.startsWith('@@')) return false;
    if (token.type === 'operator' && token.text === ':=') return false;
    if (token.type !== 'word' || tokens[at - 1]?.type === '.') continue;
    if (token.text === 'into') return false;
    if (token.text === 'for' && isWord(tokens[at + 1], 'update', 'share')) return false;
    if (token.text === 'lock' && isWord(tokens[at + 1], 'in')) return false;
    // MariaDB's sequences: NEXT VALUE FOR, PREVIOUS VALUE FOR (which its session alone knows).
    if (token.text === 'value' && isWord(tokens[at + 1], 'for')) return false;
    if (token.text === 'procedure') return false;
  }
  return true;
}

/** Behind the parentheses of the list of CTEs stands the verb. */
function kindOfWith(tokens: readonly Token[]): StatementKind {
  let depth = 0;
  for (const token of tokens) {
    if (token.type === '(') depth++;
    else if (token.type === ')') depth--;
    else if (depth === 0 && isWord(token, 'select', 'values', 'table')) {
      return readsOnly(tokens) ? 'read' : 'other';
    } else if (depth === 0 && isWord(token, 'update', 'delete')) return 'write';
  }
  return 'other';
}

const MODIFIERS: ReadonlySet<string> = new Set(
  'low_priority delayed high_priority ignore quick into from'.split(' '),
);

/** The target of INSERT, REPLACE, UPDATE and DELETE, where there is exactly one and it is plain to see. */
function targetOf(tokens: readonly Token[]): readonly string[] | undefined {
  if (isWord(tokens[0], 'with')) return undefined;
  let at = 1;
  while (tokens[at]?.type === 'word' && MODIFIERS.has((tokens[at] as Token).text)) at++;
  const isName = (token: Token | undefined): token is Token =>
    token?.type === 'word' || token?.type === 'quoted';
  const names: string[] = [];
  for (;;) {
    const name = tokens[at];
    if (!isName(name)) return undefined;
    names.push(name.text);
    if (tokens[at + 1]?.type !== '.') break;
    at += 2;
  }
  const behind = tokens[at + 1];
  const verb = tokens[0]?.text;
  const fits =
    verb === 'update'
      ? isWord(behind, 'set')
      : verb === 'delete'
        ? behind === undefined || isWord(behind, 'where', 'order', 'limit', 'returning')
        : behind?.type === '(' || isWord(behind, 'values', 'value', 'set', 'select');
  return fits && names.length <= 2 ? Object.freeze(names) : undefined;
}
