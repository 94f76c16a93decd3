/** What a {@link Token} is; punctuation is named by itself. */
type TokenType =
  | 'word'
  | 'quoted'
  | 'literal'
  | 'variable'
  | 'operator'
  | '('
  | ')'
  | ','
  | ';'
  | '.';

/** A token of SQL text. Comments and white space are gone. */
export interface Token {
  readonly type: TokenType;
  /** A word in lower case, a quoted identifier without its quotes, an operator's characters. */
  readonly text: string;
}

// Whatever is not ASCII is a letter to MySQL.
const SPACE = /[ \t\n\r\f\v]+/y;
const WORD = /[\w$\u0080-\uffff]+/y;
const NUMBER =
  /(?:0x[\dA-Fa-f]+|0b[01]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w$\u0080-\uffff])/y;
// A session's or the server's own (@@x, @@global.x), and a user's (@x).
const VARIABLE = /@@?(?:[\w$.\u0080-\uffff]+|`[^`]*`)?/y;
const LINE_END = /\n/g;
const OPERATORS = '~!&|^+-*/%<>=:?{}';
const PUNCTUATION = '(),;.';

/** The end of what a sticky expression matches at `from`, or -1. */
function match(expression: RegExp, text: string, from: number): number {
  expression.lastIndex = from;
  return expression.test(text) ? expression.lastIndex : -1;
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
function escapedEnd(text: string, from: number, quote: string): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === quote && text[++at] !== quote) return at;
  }
  return -1;
}

/** A string's end, if it is the same whether or not NO_BACKSLASH_ESCAPES is on. */
function stringEnd(text: string, from: number, quote: string): number {
  const end = quoteEnd(text, from, quote);
  if (!text.slice(from, end < 0 ? undefined : end).includes('\\')) return end;
  return escapedEnd(text, from, quote) === end ? end : -1;
}

/** A comment's end, or -1 for one that the server executes (`/*!`, `/*M!`) and one without an end. */
function commentEnd(text: string, from: number): number {
  if (text[from + 2] === '!' || text.startsWith('M!', from + 2)) return -1;
  const end = text.indexOf('*/', from + 2);
  return end < 0 ? -1 : end + 2;
}

function lineEnd(text: string, from: number): number {
  const end = match(LINE_END, text, from);
  return end < 0 ? text.length : end;
}

// Only before white space or at the end: `5--3` is eight.
function isDashComment(text: string, at: number): boolean {
  const behind = text[at + 2];
  return text[at + 1] === '-' && (behind === undefined || behind <= ' ');
}

/** What stands at a place: where it ends (-1: nowhere), and its token unless it is white space. */
type Scanned = readonly [end: number, type?: TokenType, text?: string];

function scan(text: string, at: number): Scanned {
  const char = text[at] as string;
  const space = match(SPACE, text, at);
  if (space > 0) return [space];
  if (char === '#' || (char === '-' && isDashComment(text, at))) return [lineEnd(text, at)];
  if (char === '/' && text[at + 1] === '*') return [commentEnd(text, at)];
  // With ANSI_QUOTES the double-quoted one is an identifier: of no matter to who only asks for its end.
  if (char === "'" || char === '"') return [stringEnd(text, at, char), 'literal'];
  if (char === '`') {
    const end = quoteEnd(text, at, '`');
    return [end, 'quoted', text.slice(at + 1, end - 1).replaceAll('``', '`')];
  }
  if (char === '@') {
    const end = match(VARIABLE, text, at);
    return [end, 'variable', text.slice(at, end)];
  }
  const number = match(NUMBER, text, at);
  if (number > 0) return [number, 'literal'];
  const word = match(WORD, text, at);
  if (word > 0) return introduced(text, at, word);
  if (PUNCTUATION.includes(char)) return [at + 1, char as TokenType, char];
  if (char === ':' && text[at + 1] === '=') return [at + 2, 'operator', ':='];
  return OPERATORS.includes(char) ? [at + 1, 'operator', char] : [-1];
}

/** A word, or the string that it introduces (N'…', x'…', b'…', _utf8mb4'…'). */
function introduced(text: string, at: number, end: number): Scanned {
  const word = text.slice(at, end).toLowerCase();
  const quoted = text[end] === "'";
  if (quoted && (word === 'n' || word === 'x' || word === 'b' || word.startsWith('_'))) {
    return [stringEnd(text, end, "'"), 'literal'];
  }
  return [end, 'word', word];
}

/**
 * Splits SQL text into tokens, by the rules of MySQL's `sql_lex`: `#`, `-- ` and block comments, strings
 * with doubled quotes and backslashes, back-ticked names, variables. `undefined` when the text cannot be
 * told with certainty: something is not closed, a comment that the server executes, a string whose end
 * depends on `sql_mode`, or a character that no statement has.
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
