import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown, type RetryAdmin, retryInfo } from '@outlast/kafka-retry';
import kafkajs from 'kafkajs';
import { describe, expect, it } from 'vitest';
import type { KafkaApi } from '../../faults/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

describe.skipIf(lab.reason !== '')(`an admin client ${lab.reason}`, () => {
  lab.use();

  const quick = { baseDelayMs: 50, maxDelayMs: 200 };

  async function connected(retry: object = quick): Promise<RetryAdmin> {
    const admin = lab.track(lab.kafka({ retry }).admin());
    await admin.connect();
    return admin;
  }

  /** The answer to the next request of a kind is lost, once the broker has given it. */
  function lose(api: KafkaApi) {
    return lab.proxy.arm({ when: { bytes: lab.request(api) }, fault: 'cut-after' });
  }

  it('has everything that kafkajs’ has, and answers the same', async () => {
    const topic = await lab.topic({ partitions: 2 });
    const theirs = lab.track(lab.direct().admin());
    await theirs.connect();
    const admin = await connected();
    expect(Object.keys(admin).sort()).toEqual([...Object.keys(theirs), 'policy'].sort());
    expect(admin.events).toEqual(theirs.events);
    const told: string[] = [];
    admin.on(admin.events.REQUEST, ({ type, payload }) => told.push(`${type} ${payload.apiName}`));
    expect(await admin.fetchTopicOffsets(topic)).toEqual(await theirs.fetchTopicOffsets(topic));
    expect((await admin.listTopics()).sort()).toEqual((await theirs.listTopics()).sort());
    expect(told).toContain('admin.network.request Metadata');
    expect((await failureOf(admin.createTopics({} as never))).message).toContain('Invalid topics');
    expect(await admin.createTopics({ topics: [{ topic }] })).toBe(false);
  });

  it('creates a topic whose answer was lost, and knows it for its own', async () => {
    const admin = await connected();
    const topics = [
      {
        topic: lab.name(),
        numPartitions: 3,
        replicationFactor: 1,
        configEntries: [{ name: 'max.message.bytes', value: '2000' }],
      },
      { topic: lab.name() },
    ];
    const armed = lose('createTopics');
    expect(await admin.createTopics({ topics })).toBe(true);
    expect(armed.fired).toBe(1);
    expect(await admin.createTopics({ topics })).toBe(false);
    // Somebody else's, of another shape.
    const topic = await lab.topic({ partitions: 2 });
    lose('createTopics');
    expect(await admin.createTopics({ topics: [{ topic, numPartitions: 5 }] })).toBe(false);
    const settings = [{ name: 'max.message.bytes', value: '3000' }];
    lose('createTopics');
    expect(
      await admin.createTopics({
        topics: [{ topic, numPartitions: 2, configEntries: settings }],
      }),
    ).toBe(false);
  });

  it('deletes topics, records and groups, and adds partitions, once, though the answer was lost', async () => {
    const admin = await connected();
    const [first, second, grown] = [await lab.topic(), await lab.topic(), await lab.topic()];
    let armed = lose('deleteTopics');
    await admin.deleteTopics({ topics: [first, second] });
    expect(armed.fired).toBe(1);
    const there = await admin.listTopics();
    expect([first, second].filter((topic) => there.includes(topic))).toEqual([]);

    armed = lose('createPartitions');
    await admin.createPartitions({ topicPartitions: [{ topic: grown, count: 4 }] });
    expect(armed.fired).toBe(1);
    expect(await lab.cluster.partitions(grown)).toHaveLength(4);

    const producer = lab.track(lab.kafka().producer());
    await producer.send({ topic: grown, messages: [{ value: 'a', partition: 0 }] });
    await producer.send({ topic: grown, messages: [{ value: 'b', partition: 0 }] });
    armed = lose('deleteRecords');
    await admin.deleteTopicRecords({ topic: grown, partitions: [{ partition: 0, offset: '1' }] });
    expect(armed.fired).toBe(1);
    expect(await lab.values(grown, 0)).toEqual(['b']);
    armed = lose('deleteRecords');
    const lost = await failureOf(
      admin.deleteTopicRecords({ topic: grown, partitions: [{ partition: 0, offset: '-1' }] }),
    );
    expect(isOutcomeUnknown(lost)).toBe(true);
    expect(retryInfo(lost)).toMatchObject({ reason: 'outcome-unknown', attempts: 1 });

    const groupId = lab.name('group');
    await admin.setOffsets({ groupId, topic: grown, partitions: [{ partition: 0, offset: '1' }] });
    armed = lose('deleteGroups');
    expect(await admin.deleteGroups([groupId])).toEqual([{ groupId, errorCode: 0 }]);
    expect(armed.fired).toBe(1);
  });

  it('asks again what only reads, whenever its wire is cut', async () => {
    const topic = await lab.topic({ partitions: 2 });
    const groupId = lab.name('group');
    const admin = await connected({ ...quick, maxAttempts: 5 });
    const retries: string[] = [];
    admin.policy.on('retry', ({ operation }) => retries.push(operation));
    for (const api of ['offsetFetch', 'metadata', 'listOffsets'] as const) {
      const armed = lab.proxy.arm({
        when: { bytes: lab.request(api) },
        fault: 'cut-after',
        times: 2,
      });
      const offsets = await admin.fetchOffsets({ groupId, topics: [topic] });
      expect(offsets[0]?.partitions.map(({ offset }) => offset)).toEqual(['-1', '-1']);
      expect(await admin.fetchTopicOffsets(topic)).toHaveLength(2);
      expect(armed.fired).toBe(2);
      armed.disarm();
    }
    expect(retries).toContain('kafka.admin.fetchOffsets');
  });

  it('waits for a broker that is away, with one down and one up, and for no attempt', async () => {
    const admin = await connected({ ...quick, waitMs: 20_000 });
    const told: string[] = [];
    admin.policy.on('down', () => told.push('down'));
    admin.policy.on('up', () => told.push('up'));
    lab.refuseAll();
    const listed = admin.listTopics();
    await sleep(1200);
    await lab.heal();
    expect(Array.isArray(await listed)).toBe(true);
    expect(told).toEqual(['down', 'up']);
    const patient = lab.track(lab.kafka().admin({ retry: { ...quick, waitMs: 500 } }));
    patient.policy.on('down', () => told.push('down of its own'));
    lab.refuseAll();
    const ended = await ending(patient.connect());
    expect(!ended.ok && ended.error.code).toBe('ECONNREFUSED');
    expect(ended.ms).toBeLessThan(3000);
    expect(told).toEqual(['down', 'up', 'down of its own']);
  });

  it('drops a connection that is silent, and asks on another', async () => {
    const kafka = lab.kafka({ requestTimeout: 500, retry: quick });
    const admin = lab.track(kafka.admin());
    await admin.connect();
    await admin.listTopics();
    lab.proxy.arm({ when: { bytes: lab.request('metadata') }, fault: 'silence' });
    expect(Array.isArray(await admin.listTopics())).toBe(true);
  });

  it('says of what is refused that it is not applied, with kafkajs’ own error', async () => {
    const admin = await connected();
    const topic = lab.name();
    const error = await failureOf(
      admin.createTopics({ topics: [{ topic, replicationFactor: 3 }] }),
    );
    expect(error).toBeInstanceOf(
      (kafkajs as unknown as { KafkaJSAggregateError: never }).KafkaJSAggregateError,
    );
    expect(error.errors[0]).toMatchObject({ type: 'INVALID_REPLICATION_FACTOR', topic });
    expect(retryInfo(error)).toMatchObject({
      reason: 'permanent',
      outcome: 'not-applied',
      attempts: 1,
    });
    const missing = await ending(admin.deleteGroups([lab.name('nobody')]));
    expect(!missing.ok && missing.error.name).toBe('KafkaJSDeleteGroupsError');
    expect(!missing.ok && retryInfo(missing.error)).toMatchObject({ attempts: 1 });
    expect(missing.ms).toBeLessThan(2000);
    const gone = await failureOf(admin.deleteTopics({ topics: [lab.name('never')] }));
    expect(retryInfo(gone)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
    await admin.disconnect();
    expect((await failureOf(admin.listTopics())).name).toBe('ClosedError');
    await admin.connect();
    expect(Array.isArray(await admin.listTopics())).toBe(true);
  });
});
