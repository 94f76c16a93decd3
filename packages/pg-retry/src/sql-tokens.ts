/** What a {@link Token} is; punctuation is named by itself. */
type TokenType =
  | 'word'
  | 'quoted'
  | 'literal'
  | 'operator'
  | '('
  | ')'
  | '['
  | ']'
  | ','
  | ';'
  | '.'
  | '::';

/** A token of SQL text. Comments and white space are gone. */
export interface Token {
  readonly type: TokenType;
  /** A word in lower case, a quoted identifier without its quotes, an operator's character. */
  readonly text: string;
}

// Whatever is not ASCII is a letter to PostgreSQL, non-breaking spaces included.
const SPACE = /[ \t\n\r\f\v]+/y;
const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const NUMBER = /0[xXoObB][\dA-Fa-f_]+|(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?/y;
const PARAMETER = /\$\d+/y;
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const LINE_END = /[\n\r]/g;
const COMMENT_EDGE = /\/\*|\*\//g;
const OPERATORS = '~!@#^&|`?+-*/%<>=:';
const PUNCTUATION = '()[],;.';

/** The end of what a sticky expression matches at `from`, or -1. */
function match(expression: RegExp, text: string, from: number): number {
  expression.lastIndex = from;
  return expression.test(text) ? expression.lastIndex : -1;
}

/** The end of a block comment that begins at `from`; they nest. */
function commentEnd(text: string, from: number): number {
  COMMENT_EDGE.lastIndex = from;
  for (let depth = 0; ; ) {
    const edge = COMMENT_EDGE.exec(text);
    if (!edge) return -1;
    depth += edge[0] === '/*' ? 1 : -1;
    if (depth === 0) return COMMENT_EDGE.lastIndex;
  }
}

/** The end of what stands between `quote`s and begins behind `from`; a doubled quote is one. */
function quoteEnd(text: string, from: number, quote: string): number {
  for (let at = from + 1; ; at += 2) {
    at = text.indexOf(quote, at);
    if (at < 0) return -1;
    if (text[at + 1] !== quote) return at + 1;
  }
}

/** As {@link quoteEnd}, where a backslash takes the next character with it. */
function escapedEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === "'" && text[++at] !== "'") return at;
  }
  return -1;
}

/** A plain string's end, if it is the same whatever `standard_conforming_strings` says. */
function stringEnd(text: string, from: number): number {
  const end = quoteEnd(text, from, "'");
  return !text.slice(from, end).includes('\\') || escapedEnd(text, from) === end ? end : -1;
}

/** What stands at a place: where it ends (-1: nowhere), and its token unless it is white space. */
type Scanned = readonly [end: number, type?: TokenType, text?: string];

function scan(text: string, at: number): Scanned {
  const char = text[at] as string;
  const next = text[at + 1];
  const space = match(SPACE, text, at);
  if (space > 0) return [space];
  if (char === '-' && next === '-') {
    const end = match(LINE_END, text, at);
    return [end < 0 ? text.length : end];
  }
  if (char === '/' && next === '*') return [commentEnd(text, at)];
  if (char === "'") return [stringEnd(text, at), 'literal'];
  if (char === '"') {
    const end = quoteEnd(text, at, '"');
    return [end, 'quoted', text.slice(at + 1, end - 1).replaceAll('""', '"')];
  }
  if (char === '$') {
    const end = match(PARAMETER, text, at);
    return [end < 0 ? dollarQuoteEnd(text, at) : end, 'literal'];
  }
  const number = match(NUMBER, text, at);
  if (number > 0) return [number, 'literal'];
  const word = match(WORD, text, at);
  if (word > 0) {
    const end = prefixedEnd(text, at, word);
    return end === undefined ? [word, 'word', lowerCase(text.slice(at, word))] : [end, 'literal'];
  }
  if (char === ':' && next === ':') return [at + 2, '::', '::'];
  if (PUNCTUATION.includes(char)) return [at + 1, char as TokenType, char];
  return OPERATORS.includes(char) ? [at + 1, 'operator', char] : [-1];
}

/**
 * Splits SQL text into tokens, by the rules of PostgreSQL's `scan.l`: nested comments, `''` and E`''`
 * strings, dollar quotes, quoted identifiers. `undefined` when the text cannot be told with
 * certainty: something is not closed, a NUL, a string whose end depends on a setting, or a U&"…"
 * identifier (its escape character stands behind it).
 */
export function tokenise(text: string): readonly Token[] | undefined {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const [end, type, value = ''] = scan(text, at);
    if (end < 0) return undefined;
    if (type) tokens.push({ type, text: value });
    at = end;
  }
  return tokens;
}

function dollarQuoteEnd(text: string, from: number): number {
  const open = match(DOLLAR_QUOTE, text, from);
  if (open < 0) return -1;
  const tag = text.slice(from, open);
  const close = text.indexOf(tag, open);
  return close < 0 ? -1 : close + tag.length;
}

/** The end of a string or identifier that a word introduces (E'…', B'…', U&'…'), if it does; -1 as ever. */
function prefixedEnd(text: string, from: number, to: number): number | undefined {
  if (to - from !== 1) return undefined;
  const prefix = (text[from] as string).toLowerCase();
  const quote = text[to];
  if (quote === "'") {
    if (prefix === 'e') return escapedEnd(text, to);
    if ('bxn'.includes(prefix)) return stringEnd(text, to);
  }
  if (prefix === 'u' && quote === '&') {
    if (text[to + 1] === "'") return stringEnd(text, to + 1);
    if (text[to + 1] === '"') return -1;
  }
  return undefined;
}

/** Only ASCII folds: PostgreSQL leaves the rest of a UTF-8 identifier alone. */
function lowerCase(word: string): string {
  return word.replace(/[A-Z]+/g, (part) => part.toLowerCase());
}
