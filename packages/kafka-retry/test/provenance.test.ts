import type { KafkaMessage } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { type Failed, ownHeaders, provenanceHeaders, readProvenance } from '../src/provenance.js';

const message = {
  offset: '7',
  timestamp: '1700000000000',
  headers: { mine: Buffer.from([0, 255]), 'x-dlt-mine': 'kept', several: ['a', 'b'] },
} as unknown as KafkaMessage;
const failed: Failed = {
  ...{ topic: 'orders', partition: 3, message, attempts: 5 },
  error: new TypeError('postgres://user:canary@host/db is not iterable'),
};
const lengths = { error: 1000, stack: 4000 };

describe('provenance', () => {
  it('is read back as it was written, and the message’s own headers stay apart', () => {
    const ours = provenanceHeaders('x-dlt-', 'billing', failed, lengths);
    const headers = { ...message.headers, ...ours, 'x-dlt-due': '1' };
    const { error, stack, ...rest } = readProvenance('x-dlt-', headers) ?? {};
    expect(rest).toEqual({
      topic: 'orders',
      partition: 3,
      offset: '7',
      timestamp: '1700000000000',
      group: 'billing',
      attempts: 5,
    });
    expect(error).toMatch(/^TypeError: postgres:.* is not iterable$/);
    expect(stack).toContain('provenance.test');
    expect(ownHeaders('x-dlt-', headers)).toEqual(message.headers);
    expect(readProvenance('x-retry-', headers)).toBeUndefined();
    expect(JSON.stringify(headers)).not.toContain('canary');
  });

  it('is cut to length, and without a stack where there is no room', () => {
    const headers = provenanceHeaders('x-retry-', 'g', failed, { error: 20, stack: 0 });
    expect(headers['x-retry-error']).toHaveLength(20);
    expect(headers).not.toHaveProperty('x-retry-stack');
  });

  it('is told of what is no error, and of nothing', () => {
    for (const error of ['text', undefined, null, 42, { code: 1 }]) {
      const headers = provenanceHeaders('x-dlt-', 'g', { ...failed, error }, lengths);
      expect(readProvenance('x-dlt-', headers)?.error).toBe(String(error));
    }
  });

  it.each([
    ['none', undefined],
    ['no topic', { 'x-dlt-original-partition': '0', 'x-dlt-original-offset': '0' }],
    ['a partition that is none', { ...of('topic', 'x'), 'x-dlt-original-offset': '0' }],
    ['an offset that is none', { ...of('topic', '0'), 'x-dlt-original-offset': '-1' }],
  ])('is none of ours with %s', (_, headers) => {
    expect(readProvenance('x-dlt-', headers)).toBeUndefined();
  });
});

function of(topic: string, partition: string) {
  return { 'x-dlt-original-topic': topic, 'x-dlt-original-partition': partition };
}
