/** Bytes to look for. A RegExp sees one character a byte (latin1); a string is taken as UTF-8. */
export type Pattern = string | Buffer | RegExp;

/** PostgreSQL's ReadyForQuery, the last bytes of every answer. */
export const POSTGRES_READY: Pattern = Buffer.from('Z\0\0\0\x05');

/** How many earlier bytes of a direction a pattern may begin in. */
export const TAIL = 512;

/** A pattern made ready: where it next occurs in a latin1 text at or after `from`, as [start, end), or `undefined`. */
export type Finder = (text: string, from: number) => [number, number] | undefined;

/** Compiles a pattern for looking into latin1 text. */
export function finder(pattern: Pattern): Finder {
  if (pattern instanceof RegExp) {
    const flags = pattern.flags.replace(/[gy]/g, '');
    const expression = new RegExp(pattern.source, `${flags}g`);
    return (text, from) => {
      expression.lastIndex = from;
      const match = expression.exec(text);
      return match ? [match.index, match.index + match[0].length] : undefined;
    };
  }
  const bytes = Buffer.from(pattern).toString('latin1');
  if (bytes === '')
    throw new RangeError(
      'An empty pattern matches everything; use a RegExp such as /./s to say so.',
    );
  return (text, from) => {
    const start = text.indexOf(bytes, from);
    return start === -1 ? undefined : [start, start + bytes.length];
  };
}

/** A direction's bytes as a matcher sees them: the newest chunk behind a tail of what came before. */
export interface Window {
  /** The tail and the chunk, latin1. */
  text: string;
  /** The offset of `text[0]` in the direction's whole stream. */
  offset: number;
  /** The offset of the newest chunk's first byte. */
  chunkOffset: number;
}

/** Counts how often a pattern occurs in a stream that is seen window by window; no occurrence is counted twice. */
export class Scanner {
  readonly #find: Finder;
  #seen: number;

  /** Looks from offset `from` of the stream on. */
  constructor(find: Finder, from: number) {
    this.#find = find;
    this.#seen = from;
  }

  /** Occurrences that end in the newest chunk. */
  count(window: Window): number {
    let count = 0;
    let from = Math.max(0, this.#seen - window.offset);
    for (let hit = this.#find(window.text, from); hit; hit = this.#find(window.text, from)) {
      count++;
      from = Math.max(hit[1], from + 1);
      this.#seen = window.offset + from;
    }
    return count;
  }
}
