import { describe, expect, it } from 'vitest';
import { POSTGRES_READY } from '../faults/index.js';
import { finder, type Pattern, Scanner } from '../faults/pattern.js';

/** Occurrences of `pattern` counted chunk by chunk, as a link shows them. */
function counts(pattern: Pattern, chunks: string[], from = 0): number[] {
  const scanner = new Scanner(finder(pattern), from);
  let passed = 0;
  let tail = '';
  return chunks.map((chunk) => {
    const text = tail + chunk;
    const count = scanner.count({ text, offset: passed - tail.length, chunkOffset: passed });
    passed += chunk.length;
    tail = text.slice(-16);
    return count;
  });
}

describe('Scanner', () => {
  it('finds what straddles chunks, once', () => {
    expect(counts('commit', ['begin; com', 'mit', '; select 1', 'commit'])).toEqual([0, 1, 0, 1]);
    expect(counts(/COMMIT/i, ['com', 'm', 'it'])).toEqual([0, 0, 1]);
  });

  it('counts several in one chunk and none twice', () => {
    expect(counts(/insert/i, ['INSERT insert', ' x', 'insert'])).toEqual([2, 0, 1]);
  });

  it('does not look at what passed before it was made', () => {
    expect(counts('abc', ['abc', 'abc'], 3)).toEqual([0, 1]);
  });

  it('takes bytes and expressions over bytes', () => {
    expect(counts(Buffer.from([0x5a, 0, 0]), ['xZ\0', '\0'])).toEqual([0, 1]);
    expect(counts(POSTGRES_READY, ['Z\0\0\0', '\x05I'])).toEqual([0, 1]);
    expect(counts('é', ['Ã', '©'])).toEqual([0, 1]);
  });

  it('refuses an empty pattern', () => {
    expect(() => finder('')).toThrow(RangeError);
  });
});
