import { Command } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { onceKey } from '../src/once-key.js';

const slot = (key: string | Buffer): number => new Command('get', [key]).getSlot();

describe('the key of a stored reply', () => {
  it('has the client’s prefix', () => {
    expect(onceKey('app:', 'pay-7', 'app:k', false)).toBe('app:outlast:once:pay-7');
  });

  it.each([
    'plain',
    '{tag}rest',
    'a{tag}b',
    'no}tag',
    'open{only',
    'empty{}tag',
    '}{',
    '{}',
    'clé',
    '{clé}x',
    '',
    'a{b{c}d}e',
  ])('lies in the slot of %j in a Cluster', (key) => {
    for (const id of ['7', 'with{braces}in', '}{']) {
      expect(slot(onceKey('p{x}:', id, key, true))).toBe(slot(key));
    }
  });

  it('lies in the slot of bytes as well', () => {
    const key = Buffer.from([0xff, 0x00, 0x7b, 0x80, 0x7d]);
    expect(slot(onceKey('', '7', key, true))).toBe(slot(key));
  });

  it('is another for another id', () => {
    expect(onceKey('', 'a', 'k', true)).not.toBe(onceKey('', 'b', 'k', true));
  });
});
