import { isOutcomeUnknown } from '@outlast/kafka-retry';
import {
  isSkipped,
  type KafkaCluster,
  type KafkaSettings,
  takeKafka,
  waitFor,
} from '@outlast/test-integration/servers';
import {
  type Drill,
  type Lane,
  type LaneKey,
  NoServerError,
  type Outcome,
  type Run,
} from '../drill.js';
import { playLanes } from '../lanes.js';
import { quote } from '../quote.js';
import { packageVersion } from '../versions.js';
import type { Address, Client } from './client.js';
import { handWrittenRetry } from './hand-written-retry.js';
import { KINDS, QUOTAS } from './kinds.js';
import { METHOD } from './method.js';
import { outlastClient } from './ours.js';
import { plainClient } from './plain.js';
import { Probe } from './probe.js';
import { playScript } from './script.js';
import { countLog, PARTITIONS, topicOf } from './topics.js';
import { Workload } from './workload.js';

const WORKERS = 20;
const PRODUCERS = 5;
const USER = 'app';

const LANES: readonly { key: LaneKey; title: string }[] = [
  { key: 'plain', title: 'kafkajs' },
  { key: 'idempotent', title: 'kafkajs, idempotent' },
  { key: 'hand', title: 'kafkajs + p-retry' },
  { key: 'ours', title: '@outlast/kafka-retry' },
];

export const kafkaDrill: Drill = {
  system: 'kafka',
  title: 'Kafka',
  quotas: QUOTAS,
  reads: false,
  transactions: false,
  promises: [
    { way: 'keyed', mayBeUnknown: false },
    { way: 'without a key', mayBeUnknown: false },
    { way: 'batch', mayBeUnknown: false },
  ],

  async run(run: Run): Promise<Outcome> {
    await using cluster = await ownCluster(run.canary);
    const probe = new Probe(cluster);
    await probe.prepare();
    for (const { key } of LANES)
      await cluster.createTopic(topicOf(key), { partitions: PARTITIONS });
    const struck = await playLanes(run, {
      lanes: LANES,
      isUnknown: isOutcomeUnknown,
      proxy: (n) => cluster.first.proxyOptions(n),
      client: ({ lane }, n) => {
        const brokers = cluster.proxiedAddresses(n);
        const address = { brokers, username: USER, password: run.canary };
        return Array.from({ length: PRODUCERS }, () => clientOf(lane, address));
      },
      workload: (clients, lane) => new Workload(clients, lane.ledger, lane.key),
      workers: WORKERS,
      thinkMs: [20, 40],
      kinds: KINDS,
      play: (stage) => playScript(cluster.first, probe, stage, run.seconds),
      end: (clients) => Promise.allSettled(clients.map((client) => client.end())),
    });
    // kafkajs leaves sockets open when it disconnects while it retries
    await Promise.all(struck.map(({ proxy }) => proxy.close()));
    await quiet(cluster);
    for (const { lane } of struck) lane.facts = await countLog(cluster, lane.key);
    return {
      versions: {
        'Apache Kafka': `${cluster.version} (${cluster.source})`,
        kafkajs: packageVersion('kafkajs'),
        'p-retry': packageVersion('p-retry'),
        '@outlast/kafka-retry': packageVersion('@outlast/kafka-retry'),
      },
      quotes: [
        quote('The retry loop written by hand', 'kafka/hand-written-retry.ts'),
        quote('Ours, under the same application', 'kafka/ours.ts'),
      ],
      method: METHOD,
    };
  },
};

/** One whose proxied listeners ask for the password; the drill kills it, so one that somebody else started is none for it. */
async function ownCluster(password: string): Promise<KafkaCluster> {
  const names = LANES.map((_, n) => `PROXY${n}`);
  const login = `org.apache.kafka.common.security.plain.PlainLoginModule required user_${USER}="${password}";`;
  const settings: KafkaSettings = {
    'listener.security.protocol.map': [
      'CONTROLLER:PLAINTEXT',
      'PLAINTEXT:PLAINTEXT',
      ...names.map((name) => `${name}:SASL_PLAINTEXT`),
    ].join(','),
    'sasl.enabled.mechanisms': 'PLAIN',
  };
  for (const name of names) {
    settings[`listener.name.${name.toLowerCase()}.plain.sasl.jaas.config`] = login;
  }
  const cluster = await takeKafka({ own: true, proxies: LANES.length, settings });
  if (isSkipped(cluster)) throw new NoServerError(cluster.skipped);
  return cluster;
}

function clientOf({ key, ledger }: Lane, address: Address): Client {
  if (key === 'plain') return plainClient(address);
  if (key === 'idempotent') return plainClient(address, true);
  if (key === 'hand') return handWrittenRetry(address);
  return outlastClient(address, (error) => ledger.sample(error));
}

/** Waits until no connection of the lanes is left: then everything that was late has arrived. */
function quiet(cluster: KafkaCluster): Promise<unknown> {
  return waitFor(async () => (await cluster.connections()) === 0, {
    timeoutMs: 30_000,
    everyMs: 100,
    what: 'the last connection of the lanes to end',
  });
}
