import { describe, expect, it } from 'vitest';
import { rememberByText } from '../src/text-memo.js';

function setUp() {
  const asked: string[] = [];
  const find = rememberByText((text) => {
    asked.push(text.slice(0, 8));
    return { text };
  });
  return { asked, find };
}

describe('rememberByText', () => {
  it('asks once, and gives the same object again', () => {
    const { asked, find } = setUp();
    expect(find('a')).toBe(find('a'));
    expect(asked).toEqual(['a']);
  });

  it('keeps a text that is hot through a flood, and forgets one that is not', () => {
    const { asked, find } = setUp();
    find('cold');
    for (let n = 0; n < 1000; n++) {
      find('hot');
      find(`flood ${n}`);
    }
    find('cold');
    expect(asked.filter((text) => text === 'hot')).toHaveLength(1);
    expect(asked.filter((text) => text === 'cold')).toHaveLength(2);
  });

  it('does not keep a text of more than 64 kB', () => {
    const { asked, find } = setUp();
    const long = 'x'.repeat(64 * 1024 + 1);
    find(long);
    find(long);
    expect(asked).toHaveLength(2);
  });
});
