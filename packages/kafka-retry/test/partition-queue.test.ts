import { describe, expect, it } from 'vitest';
import { PartitionQueue } from '../src/partition-queue.js';
import { Part, Publish } from '../src/publish.js';
import { bodyBytes, type RecordData, recordBytes } from '../src/record-batch.js';

const record = (value: string): RecordData => ({
  key: null,
  value,
  headers: [],
  timestamp: 0,
  bodyBytes: bodyBytes(null, value, []),
});

function part(values: string[], options: Partial<Publish> = {}): Part {
  const how = { acks: -1, timeoutMs: 30_000, compression: 0, ...options };
  const publish = new Publish(
    how,
    0,
    1000,
    () => {},
    () => {},
  );
  const records = values.map(record);
  const bytes = records.reduce((sum, one) => sum + recordBytes(one), 0);
  const made = new Part(
    publish,
    't',
    0,
    records,
    values.map((_, i) => i),
    bytes,
  );
  publish.parts = [made];
  publish.open = 1;
  return made;
}

const valuesOf = (parts: readonly Part[] | undefined) =>
  parts?.flatMap(({ records }) => records.map(({ value }) => value));

describe('the queue of a partition', () => {
  it('puts what waits into one batch, in order, and nothing overtakes it', () => {
    const queue = new PartitionQueue('t', 0, 1000);
    for (const value of ['a', 'b', 'c']) queue.push(part([value]));
    const batch = queue.take();
    expect(valuesOf(batch?.parts)).toEqual(['a', 'b', 'c']);
    queue.push(part(['d']));
    expect(queue.take()).toBe(batch);
    queue.finish();
    expect(valuesOf(queue.take()?.parts)).toEqual(['d']);
    queue.finish();
    expect(queue.take()).toBeUndefined();
    expect(queue.hasWork).toBe(false);
  });

  it('keeps a batch within its bytes, but for one that is larger by itself', () => {
    const queue = new PartitionQueue('t', 0, 100);
    const long = 'x'.repeat(200);
    for (const value of ['a', 'b', long, 'c']) queue.push(part([value]));
    const taken = [];
    while (queue.hasWork) {
      taken.push(valuesOf(queue.take()?.parts));
      queue.finish();
    }
    expect(taken).toEqual([['a', 'b'], [long], ['c']]);
  });

  it.each([{ acks: 1 }, { timeoutMs: 5 }, { compression: 1 }])(
    'never mixes %o with others',
    (how) => {
      const queue = new PartitionQueue('t', 0, 1000);
      queue.push(part(['a']));
      queue.push(part(['b'], how));
      queue.push(part(['c']));
      const taken = [];
      while (queue.hasWork) {
        taken.push(valuesOf(queue.take()?.parts));
        queue.finish();
      }
      expect(taken).toEqual([['a'], ['b'], ['c']]);
    },
  );

  it('does not send what has been given up while it waited', () => {
    const queue = new PartitionQueue('t', 0, 1000);
    const parts = ['a', 'b', 'c'].map((value) => part([value]));
    for (const one of parts) queue.push(one);
    for (const one of [parts[0], parts[1]] as Part[]) one.ended = true;
    expect(valuesOf(queue.take()?.parts)).toEqual(['c']);
  });

  it('parts a batch in two, before what waits, cutting a send where it must', () => {
    const queue = new PartitionQueue('t', 0, 10_000);
    const big = part(['b', 'c', 'd']);
    queue.push(part(['a']));
    queue.push(big);
    const batch = queue.take();
    queue.push(part(['e']));
    if (batch === undefined) throw new Error('There is no batch.');
    queue.split(batch);
    expect(valuesOf(queue.take()?.parts)).toEqual(['a', 'b']);
    queue.finish();
    // What was refused for its size is not built up again.
    expect(valuesOf(queue.take()?.parts)).toEqual(['c', 'd']);
    expect(big.publish.parts).toHaveLength(2);
    expect(big.publish.open).toBe(2);
    expect(big.publish.parts.map(({ indexes }) => indexes)).toEqual([[0], [1, 2]]);
    queue.finish();
    expect(valuesOf(queue.take()?.parts)).toEqual(['e']);
  });

  it('keeps nothing of ten thousand sends that were given up behind one that is not', () => {
    const queue = new PartitionQueue('t', 0, 1_000_000);
    queue.push(part(['first']));
    for (let i = 0; i < 10_000; i++) {
      const one = part([`${i}`]);
      queue.push(one);
      one.ended = true;
    }
    queue.push(part(['last']));
    expect(queue.waiting().length).toBeLessThan(5000);
    expect(valuesOf(queue.take()?.parts.filter(({ ended }) => !ended))).toEqual(['first', 'last']);
  });
});
