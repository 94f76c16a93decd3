import type { Failure, Phase } from '@outlast/core-retry';
import type { Admin, ITopicConfig } from 'kafkajs';
import { classifyKafka } from './classify.js';
import { KafkaJSAggregateError } from './driver.js';

type Arguments<K extends keyof Admin> = Admin[K] extends (...args: infer A) => unknown ? A : never;
type Result<K extends keyof Admin> = Admin[K] extends (...args: never[]) => infer R ? R : never;

/** What may be done with an operation whose answer was lost. */
export interface AdminVerdict<K extends keyof Admin> {
  /** Whether it may run again; default true. */
  readonly safe?: (...args: Arguments<K>) => boolean;
  /** How it runs after an answer was lost; default: as before. */
  readonly again?: (admin: Admin, ...args: Arguments<K>) => Result<K>;
  /** How many things it changes: a refusal of one does not speak for the others. Default 0: it only reads. */
  readonly changes?: (...args: Arguments<K>) => number;
}

/** kafkajs keeps the broker's answers to the several things asked for in fields of their own. */
interface Compound {
  readonly name?: unknown;
  readonly groups?: readonly { readonly error?: unknown }[];
  readonly partitions?: readonly { readonly error?: unknown }[];
}

const GROUP_ID_NOT_FOUND = 69;
const TOPIC_RESOURCE = 2;
/** After these answers the broker may have gone on; any other says that it has not. */
const STILL_OPEN: ReadonlySet<string | undefined> = new Set(['-1', '7', '13']);

const READS = [
  'listTopics',
  'fetchTopicMetadata',
  'describeCluster',
  'fetchTopicOffsets',
  'fetchTopicOffsetsByTimestamp',
  'describeConfigs',
  'listGroups',
  'describeGroups',
  'describeAcls',
  'listPartitionReassignments',
] as const;

/** They say what is to be, not what is to change: a second time changes nothing more. */
const one = { changes: () => 1 };
const several = { changes: () => 2 };

/** Each operation of kafkajs' admin client, with its own verdict. */
export const ADMIN_VERDICTS: { readonly [K in keyof Admin]?: AdminVerdict<K> } = {
  ...Object.fromEntries(READS.map((name) => [name, {}])),
  // With `resolveOffsets` it sets what it has found.
  fetchOffsets: one,
  setOffsets: one,
  resetOffsets: one,
  alterConfigs: several,
  createAcls: several,
  deleteAcls: several,
  alterPartitionReassignments: several,
  createTopics: { changes: ({ topics }) => topics.length, again: createTopicsAgain },
  deleteTopics: {
    changes: ({ topics }) => topics.length,
    again: async (admin, { topics, ...options }) => {
      const there = new Set(await admin.listTopics());
      const left = topics.filter((topic) => there.has(topic));
      if (left.length > 0) await admin.deleteTopics({ ...options, topics: left });
    },
  },
  createPartitions: {
    changes: ({ topicPartitions }) => topicPartitions.length,
    again: async (admin, { topicPartitions, ...options }) => {
      const counts = await partitionCounts(
        admin,
        topicPartitions.map(({ topic }) => topic),
      );
      const left = topicPartitions.filter(({ topic, count }) => counts.get(topic) !== count);
      if (left.length === 0) return undefined as never;
      return admin.createPartitions({ ...options, topicPartitions: left });
    },
  },
  deleteGroups: {
    changes: (groupIds) => groupIds.length,
    again: async (admin, groupIds) => {
      try {
        return await admin.deleteGroups(groupIds);
      } catch (error) {
        const { groups } = error as { groups?: readonly { readonly errorCode: number }[] };
        const gone = groups?.every(({ errorCode }) => errorCode === GROUP_ID_NOT_FOUND);
        if (gone !== true) throw error;
        return groupIds.map((groupId) => ({ groupId, errorCode: 0 }));
      }
    },
  },
  deleteTopicRecords: {
    changes: ({ partitions }) => partitions.length,
    // -1 is the end as it is when the request arrives: a second time takes what came meanwhile.
    safe: ({ partitions }) => !partitions.some(({ offset }) => Number(offset) === -1),
  },
};

/**
 * Classifies what an operation failed with. A broker's no means that nothing was done, unless several things
 * were to be.
 */
export function classifyAdmin(error: unknown, phase: Phase, changes: number): Failure {
  const { groups, partitions } = (error ?? {}) as Compound;
  const inner = (groups ?? partitions)?.flatMap((one) => (one.error ? [one.error] : []));
  const failure =
    inner !== undefined && inner.length > 0
      ? classifyKafka(new KafkaJSAggregateError('Several', inner as (string | Error)[]), phase)
      : classifyKafka(error, phase);
  const answered = !isLost(failure);
  return answered && changes < 2 ? { ...failure, outcome: 'not-applied' } : failure;
}

/** Whether there was no answer that says what was done. */
export function isLost({ code, outcome }: Failure): boolean {
  const said = code !== undefined && /^\d+$/.test(code) && !STILL_OPEN.has(code);
  return outcome === 'unknown' && !said;
}

/** The topics may be there because of us: then they are as they were asked for. */
async function createTopicsAgain(
  admin: Admin,
  options: Arguments<'createTopics'>[0],
): Promise<boolean> {
  const created = await admin.createTopics(options);
  if (created || options.validateOnly === true) return created;
  const names = options.topics.map(({ topic }) => topic);
  const { topics } = await admin.fetchTopicMetadata({ topics: names });
  const found = new Map(topics.map(({ name, partitions }) => [name, partitions]));
  for (const wanted of options.topics) {
    const partitions = found.get(wanted.topic);
    if (partitions === undefined || !isAlike(wanted, partitions)) return false;
    if (!(await isConfigured(admin, wanted))) return false;
  }
  return true;
}

function isAlike(
  { numPartitions = -1, replicationFactor = -1, replicaAssignment }: ITopicConfig,
  partitions: readonly { readonly replicas: readonly number[] }[],
): boolean {
  const count = replicaAssignment?.length ? replicaAssignment.length : numPartitions;
  if (count > 0 && partitions.length !== count) return false;
  return replicationFactor <= 0 || partitions[0]?.replicas.length === replicationFactor;
}

async function isConfigured(admin: Admin, { topic, configEntries }: ITopicConfig) {
  if (configEntries === undefined || configEntries.length === 0) return true;
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [
      { type: TOPIC_RESOURCE, name: topic, configNames: configEntries.map(({ name }) => name) },
    ],
  });
  const set = new Map(
    resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]),
  );
  return configEntries.every(({ name, value }) => set.get(name) === value);
}

async function partitionCounts(admin: Admin, names: string[]): Promise<Map<string, number>> {
  const { topics } = await admin.fetchTopicMetadata({ topics: names });
  return new Map(topics.map(({ name, partitions }) => [name, partitions.length]));
}
