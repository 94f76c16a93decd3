import type { Token } from './sql-tokens.js';

const words = (list: string): ReadonlySet<string> => new Set(list.trim().split(/\s+/));

/**
 * Words before a parenthesis that cannot be called. Source: PostgreSQL's `kwlist.h`, categories
 * RESERVED and COL_NAME ("cannot be function or type name"), without those that newer majors added:
 * an older server may have a function of that name. `operator` is in neither, but the grammar takes
 * it for OPERATOR(…) first. Left out: `substring` and `overlay`, whose comma form obeys the search
 * path, and `treat`, which calls what its type names.
 */
const NOT_CALLABLE = words(`
  all analyse analyze and any array as asc asymmetric both case cast check collate column constraint
  create current_catalog current_date current_role current_time current_timestamp current_user default
  deferrable desc distinct do else end except false fetch for foreign from grant group having in
  initially intersect into lateral leading limit localtime localtimestamp not null offset on only or
  order placing primary references returning select session_user some symmetric table then to trailing
  true union unique user using variadic when where window with
  between bigint bit boolean char character coalesce dec decimal exists extract float greatest grouping
  int integer interval least national nchar nullif numeric position precision real row setof smallint
  time timestamp trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest
  xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
  operator`);

/** Words that are no call behind these words, and may be one elsewhere. */
const NOT_CALLABLE_BEHIND: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['by', words('group order partition')],
  ['sets', words('grouping')],
  ['rollup', words('by')],
  ['cube', words('by')],
  ['materialized', words('as not')],
  ['varying', words('character char bit nchar')],
  ['zone', words('time')],
  ['first', words('fetch')],
  ['next', words('fetch')],
  ['join', words('left right full inner outer cross natural')],
  ['system', words('tablesample')],
  ['bernoulli', words('tablesample')],
]);

/** Infix words that are also legal names of functions: a call only where no operand ends. */
const INFIX = words('join like ilike overlaps');

/** What follows a call or a table in parentheses. */
const BEHIND_PARENTHESIS = words('over filter repeatable');

const PLAIN = /^[a-z_\u0080-\uffff][a-z0-9_$\u0080-\uffff]*$/;
const quoteIfNeeded = (name: string): string =>
  PLAIN.test(name) ? name : `"${name.replaceAll('"', '""')}"`;

const isName = (token: Token | undefined): boolean =>
  token?.type === 'word' || token?.type === 'quoted';
const isWord = (token: Token | undefined, text: string): boolean =>
  token?.type === 'word' && token.text === text;

/** Pairs of parentheses: the index of each one's partner. The tokens must be balanced. */
function partners(tokens: readonly Token[]): ReadonlyMap<number, number> {
  const pairs = new Map<number, number>();
  const open: number[] = [];
  for (const [at, { type }] of tokens.entries()) {
    if (type === '(') open.push(at);
    else if (type === ')') {
      const start = open.pop() as number;
      pairs.set(start, at).set(at, start);
    }
  }
  return pairs;
}

/** A list of columns: `a, "b"`, as an alias or a CTE has it. */
function isColumnList(tokens: readonly Token[], open: number, close: number): boolean {
  if (close - open < 2) return false;
  for (let at = open + 1; at < close; at++) {
    const odd = (at - open) % 2 === 1;
    if (odd ? !isName(tokens[at]) : tokens[at]?.type !== ',') return false;
  }
  return (close - open) % 2 === 0;
}

/**
 * Every function name that a statement calls by `name(…)`, each once; includes a name where it is not
 * sure that it is none.
 */
export function calledFunctions(tokens: readonly Token[]): string[] {
  const pairs = partners(tokens);
  const ctes = namesOfCtes(tokens);
  const names = new Set<string>();
  for (const [open, token] of tokens.entries()) {
    if (token.type !== '(' || !isName(tokens[open - 1])) continue;
    let start = open - 1;
    while (tokens[start - 1]?.type === '.' && isName(tokens[start - 2])) start -= 2;
    const close = pairs.get(open) as number;
    if (!isCall(tokens, start, open, close, pairs) || (ctes.has(start) && start === open - 1))
      continue;
    const parts = tokens.slice(start, open).filter((part) => part.type !== '.');
    names.add(parts.map((part) => quoteIfNeeded(part.text)).join('.'));
  }
  return [...names];
}

function isCall(
  tokens: readonly Token[],
  start: number,
  open: number,
  close: number,
  pairs: ReadonlyMap<number, number>,
): boolean {
  const before = tokens[start - 1];
  // A type and its modifiers, or an alias and its columns.
  if (before?.type === '::' || isWord(before, 'as')) return false;
  if (start < open - 1) return true;
  const name = tokens[start] as Token;
  if (name.type === 'word') {
    if (NOT_CALLABLE.has(name.text)) return false;
    if (before?.type === 'word' && NOT_CALLABLE_BEHIND.get(name.text)?.has(before.text))
      return false;
    if (INFIX.has(name.text) && endsOperand(before)) return false;
  }
  if (isWord(before, 'ordinality')) return !isColumnList(tokens, open, close);
  if (before?.type !== ')' || expressionFollows(tokens, pairs.get(start - 1) as number))
    return true;
  const follows = name.type === 'word' && BEHIND_PARENTHESIS.has(name.text);
  return !follows && !isColumnList(tokens, open, close);
}

function endsOperand(before: Token | undefined): boolean {
  if (before === undefined) return false;
  if (before.type === 'word') return before.text === 'not' || !NOT_CALLABLE.has(before.text);
  return ['quoted', 'literal', ')', ']'].includes(before.type);
}

/** The two parentheses behind which an expression begins: OPERATOR(…) and DISTINCT ON (…). */
function expressionFollows(tokens: readonly Token[], open: number): boolean {
  return (
    isWord(tokens[open - 1], 'operator') ||
    (isWord(tokens[open - 1], 'on') && isWord(tokens[open - 2], 'distinct'))
  );
}

/** Where the names of CTEs stand: behind WITH, and behind the commas of its list. */
function namesOfCtes(tokens: readonly Token[]): ReadonlySet<number> {
  const starts = new Set<number>();
  const inList: boolean[] = [false];
  for (const [at, token] of tokens.entries()) {
    const before = tokens[at - 1];
    if (token.type === '(') inList.push(false);
    else if (token.type === ')') inList.pop();
    else if (token.type === ',' && inList.at(-1)) starts.add(at + 1);
    else if (token.type !== 'word') continue;
    // Elsewhere WITH belongs to a type, to TIES or to ORDINALITY.
    else if (token.text === 'with' && (!before || before.type === '(')) {
      inList[inList.length - 1] = true;
      starts.add(isWord(tokens[at + 1], 'recursive') ? at + 2 : at + 1);
    } else if (/^(?:select|values|table)$/.test(token.text)) inList[inList.length - 1] = false;
  }
  return starts;
}
