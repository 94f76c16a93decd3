import { redact } from './redact.js';

// What is read at all of a text that may be another's; then redacted; only then cut to length: a cut
// through the middle of a URL would leave a password that nothing recognises any more.
const MOST_READ = 16_384;
const LONGEST_LINE = 500;
const LONGEST_NAME = 100;

/**
 * A text as it may stand in one line of a log: without secrets, line breaks or control characters.
 *
 * @param longest in UTF-16 units; what is cut ends with `…`. Default 500
 */
export function printable(text: string, longest: number = LONGEST_LINE): string {
  // A line break ends a header's value, so redact before it goes.
  const clean = redact(text.length > MOST_READ ? wholeWords(text) : text)
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim();
  return clean.length > longest
    ? `${clean.slice(0, longest - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
    : clean;
}

/** What an error says of itself, printable. */
export interface ErrorText {
  /** Its name, or its class; `string` and the like for what is no object. */
  readonly type: string;
  /** Its message; its code where the message is empty (an AggregateError of refused connections). */
  readonly message: string;
}

/** Reads what was thrown, whatever it is: never throws, and never calls a `toString`. */
export function readError(error: unknown): ErrorText {
  if (typeof error === 'object' && error !== null) {
    const type = read(error, 'name') || className(error) || 'Object';
    const message = read(error, 'message') || read(error, 'code');
    return { type: printable(type, LONGEST_NAME), message: printable(message) };
  }
  const message = typeof error === 'function' ? '' : printable(String(error));
  return { type: typeof error, message };
}

/** What was thrown as `Name: message`; a text, a number and the like as they are. */
export function describeError(error: unknown): string {
  const { type, message } = readError(error);
  if (message === '') return type;
  return typeof error === 'object' && error !== null ? `${type}: ${message}` : message;
}

function read(from: object, key: string): string {
  try {
    const value: unknown = (from as Record<string, unknown>)[key];
    return typeof value === 'string' ? value : '';
  } catch {
    return '';
  }
}

function className(error: object): string {
  try {
    return read(error.constructor, 'name');
  } catch {
    return '';
  }
}

/** The beginning of a text that is too long, without the word that the cut went through. */
function wholeWords(text: string): string {
  let end = MOST_READ;
  // By hand: /\S*$/ would look to the end from every character of a long word.
  while (end > 0 && !/\s/.test(text.charAt(end - 1))) end -= 1;
  return `${text.slice(0, end)}…`;
}
