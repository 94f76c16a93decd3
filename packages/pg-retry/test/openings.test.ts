import { describe, expect, it } from 'vitest';
import { Openings } from '../src/openings.js';

describe('Openings', () => {
  it('knows whether a newer connection was opened before a time', () => {
    const openings = new Openings();
    openings.add(1, 100);
    openings.add(2, 200);
    openings.add(3, 300);
    expect(openings.between(1, 200)).toBe(false);
    expect(openings.between(1, 201)).toBe(true);
    expect(openings.between(2, 301)).toBe(true);
    expect(openings.between(3, 1000)).toBe(false);
  });

  it('says yes to what it no longer knows', () => {
    const openings = new Openings();
    for (let serial = 1; serial <= 1000; serial++) openings.add(serial, serial);
    expect(openings.between(100, 5)).toBe(true);
    expect(openings.between(999, 1)).toBe(false);
  });
});
