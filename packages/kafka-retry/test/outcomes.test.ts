import { isOutcomeUnknown, RetryPolicy, retryInfo } from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';
import type { Batch } from '../src/batch.js';
import { Identities } from '../src/identities.js';
import { Ledger } from '../src/ledger.js';
import { Outcomes } from '../src/outcomes.js';
import { PartitionQueue } from '../src/partition-queue.js';
import { Part, Publish } from '../src/publish.js';

const ME = { producerId: 7n, epoch: 0 };

/** A queue with one send under way, and what is told of it. */
function underWay({ bumpsEpoch = true, once = false } = {}) {
  const policy = new RetryPolicy({ idempotent: false });
  const identities = new Identities(undefined as never, undefined as never, 0);
  Object.assign(identities, { identity: ME, bumpsEpoch });
  const ledger = new Ledger(policy, () => {});
  const told: string[] = [];
  const delays: number[] = [];
  const outcomes = new Outcomes({
    ledger,
    identities,
    once,
    random: () => 0.5,
    maxDelayMs: 10_000,
    again: (_, delayMs) => {
      told.push('again');
      delays.push(delayMs);
    },
    next: () => told.push('next'),
  });
  const queue = new PartitionQueue('t', 0, 1000);
  queue.sequence.renew(ME);
  let result: unknown;
  const publish = new Publish(
    { acks: -1, timeoutMs: 1, compression: 0 },
    0,
    1000,
    (metadata) => {
      result = metadata;
    },
    (error) => {
      result = error;
    },
  );
  const record = { key: null, value: 'x', headers: [], timestamp: 0, bodyBytes: 5 };
  publish.parts = [new Part(publish, 't', 0, [record], [0], 20)];
  publish.open = 1;
  ledger.begin(publish, true);
  queue.push(publish.parts[0] as Part);
  const batch = queue.take() as Batch;
  const send = (): void => {
    queue.sequence.number(batch);
    batch.attempts += 1;
  };
  const answer = (code: number): void => {
    send();
    const offsets = { baseOffset: '41', logAppendTime: '-1' };
    outcomes.answered(queue, batch, { partition: 0, errorCode: code, ...offsets });
  };
  const lose = (): void => {
    send();
    batch.unknown = true;
    outcomes.lost(
      queue,
      batch,
      Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }),
    );
  };
  return { queue, batch, told, delays, answer, lose, identities, result: () => result };
}

describe('what becomes of a batch', () => {
  it.each([0, 46])('%i: it is stored, at its own offset', (code) => {
    const one = underWay();
    one.answer(code);
    expect(one.result()).toMatchObject([{ topicName: 't', partition: 0, baseOffset: '41' }]);
    expect(one.told).toEqual(['next']);
    expect(one.queue.batch).toBeUndefined();
  });

  it('a lost reply: the same numbers again, at once; then with growing delays', () => {
    const one = underWay();
    for (let i = 0; i < 6; i++) one.lose();
    expect(one.batch.stamp).toEqual({ ...ME, sequence: 0 });
    expect(one.delays).toEqual([0, 200, 400, 800, 1000, 1000]);
    one.answer(0);
    expect(one.result()).toMatchObject([{ baseOffset: '41' }]);
  });

  it('45 six times of what was never in doubt: a higher epoch, and the same batch again', () => {
    const one = underWay();
    for (let i = 0; i < 6; i++) one.answer(45);
    expect(one.told).toEqual(Array(6).fill('again'));
    expect(one.queue.sequence.current).toEqual({ producerId: 7n, epoch: 1 });
    one.answer(0);
    expect(one.batch.stamp).toEqual({ producerId: 7n, epoch: 1, sequence: 0 });
    expect(one.result()).toMatchObject([{ baseOffset: '41' }]);
  });

  it('45 six times after a lost reply: unknown, and the next batch under a higher epoch', () => {
    const one = underWay();
    one.lose();
    for (let i = 0; i < 6; i++) one.answer(45);
    expect(isOutcomeUnknown(one.result())).toBe(true);
    expect(one.result()).toMatchObject({ code: 45 });
    expect(retryInfo(one.result())).toMatchObject({ reason: 'outcome-unknown', attempts: 0 });
    expect(one.queue.sequence.current).toEqual({ producerId: 7n, epoch: 1 });
  });

  it.each([
    [59, true, { producerId: 7n, epoch: 1 }],
    [59, false, undefined],
    [47, true, undefined],
  ])('%i, the broker taking raised epochs: %s', (code, bumpsEpoch, identity) => {
    const one = underWay({ bumpsEpoch });
    one.answer(code);
    expect(one.told).toEqual(['again']);
    expect(one.queue.sequence.current).toEqual(identity);
    // Nobody else is to begin under an id that is used up.
    expect(one.identities.current).toEqual(identity === undefined ? undefined : ME);
  });

  it('a refusal: not applied, and its numbers are the next ones again', () => {
    const one = underWay();
    one.answer(10);
    expect(one.result()).toMatchObject({ code: 10 });
    expect(retryInfo(one.result())).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
    expect(one.queue.sequence.number({ count: 1, stamp: undefined, unknown: false })).toEqual({
      ...ME,
      sequence: 0,
    });
  });

  it('a refusal after a lost reply: unknown, for the first copy may be there', () => {
    const one = underWay();
    one.lose();
    one.answer(29);
    expect(isOutcomeUnknown(one.result())).toBe(true);
  });

  it('one attempt only: what fails, fails at once', () => {
    const lost = underWay({ once: true });
    lost.lose();
    expect(isOutcomeUnknown(lost.result())).toBe(true);
    const waits = underWay({ once: true });
    waits.answer(19);
    expect(retryInfo(waits.result())).toMatchObject({
      reason: 'exhausted',
      outcome: 'not-applied',
    });
  });
});
