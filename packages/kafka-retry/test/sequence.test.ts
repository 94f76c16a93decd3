import { describe, expect, it } from 'vitest';
import { type Numbered, Sequence } from '../src/sequence.js';

const ME = { producerId: 7n, epoch: 0 };
const batchOf = (count: number): Numbered => ({ count, stamp: undefined, unknown: false });

describe('the numbers of a partition', () => {
  it('go on where the batch before ended', () => {
    const sequence = new Sequence(ME);
    expect(sequence.number(batchOf(3))).toEqual({ ...ME, sequence: 0 });
    expect(sequence.number(batchOf(2))).toEqual({ ...ME, sequence: 3 });
    expect(sequence.number(batchOf(1))).toEqual({ ...ME, sequence: 5 });
  });

  it('are given to a batch once', () => {
    const sequence = new Sequence(ME);
    const batch = batchOf(3);
    const stamp = sequence.number(batch);
    expect(sequence.number(batch)).toBe(stamp);
  });

  it('wrap at 2^31, where kafkajs begins at 0 a step too early', () => {
    const sequence = new Sequence(ME, 2 ** 31 - 2);
    expect(sequence.number(batchOf(1)).sequence).toBe(2 ** 31 - 2);
    expect(sequence.number(batchOf(1)).sequence).toBe(2 ** 31 - 1);
    expect(sequence.number(batchOf(1)).sequence).toBe(0);
    const across = new Sequence(ME, 2 ** 31 - 2);
    expect(across.number(batchOf(5)).sequence).toBe(2 ** 31 - 2);
    expect(across.number(batchOf(1)).sequence).toBe(3);
  });

  it('are taken back of what was never stored, and only of that', () => {
    const sequence = new Sequence(ME);
    sequence.number(batchOf(3));
    const batch = batchOf(2);
    sequence.number(batch);
    sequence.takeBack(batch);
    expect(batch.stamp).toBeUndefined();
    expect(sequence.number(batchOf(1)).sequence).toBe(3);
    const doubtful = batchOf(1);
    sequence.number(doubtful);
    doubtful.unknown = true;
    expect(() => sequence.takeBack(doubtful)).toThrow();
  });

  it('begin again under a higher epoch after a batch is given up', () => {
    const sequence = new Sequence(ME);
    const batch = batchOf(3);
    sequence.number(batch);
    batch.unknown = true;
    sequence.giveUp(batch, true);
    expect(sequence.number(batchOf(1))).toEqual({ producerId: 7n, epoch: 1, sequence: 0 });
  });

  it('need a new producer id at the last epoch, and where the broker does not let epochs be raised', () => {
    const old = new Sequence(ME);
    const batch = batchOf(1);
    old.number(batch);
    old.giveUp(batch, false);
    expect(old.needsIdentity).toBe(true);
    expect(() => old.number(batchOf(1))).toThrow();
    old.renew({ producerId: 8n, epoch: 0 });
    expect(old.number(batchOf(1))).toEqual({ producerId: 8n, epoch: 0, sequence: 0 });
    const last = new Sequence({ producerId: 7n, epoch: 32_765 });
    last.startOver(batchOf(1), true);
    expect(last.current).toEqual({ producerId: 7n, epoch: 32_766 });
    last.startOver(batchOf(1), true);
    expect(last.needsIdentity).toBe(true);
  });
});
