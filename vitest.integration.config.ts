import { defineConfig } from 'vitest/config';

/** The suites of one system, and what it passes of the contract. */
function suitesOf(system: string): string[] {
  return [
    `test-integration/suites/${system}/**/*.test.ts`,
    `test-integration/suites/contract/${system}.contract.test.ts`,
  ];
}

/**
 * Real servers and real faults. One file after the other: two cores cannot hold two fault suites,
 * and a suite that is starved of time tests the machine. The Postgres suites run on both
 * majors of the server, those of our Redis client on both majors of the driver, those of our HTTP client on the
 * lowest and the newest axios, and a few of Kafka's on both majors of the broker.
 */
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    retry: 0,
    fileParallelism: false,
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      { extends: true, test: { name: 'harness', include: ['test-integration/test/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'postgres',
          include: suitesOf('postgres'),
        },
      },
      {
        extends: true,
        test: {
          name: 'postgres-second-major',
          include: ['test-integration/suites/postgres/**/*.test.ts'],
          // what depends on the driver and on libraries, not on the server
          exclude: ['**/suites/postgres/{libraries/*,exhaustion,pgbouncer}.test.ts'],
          env: { OUTLAST_PG_MAJOR: 'second' },
        },
      },
      { extends: true, test: { name: 'redis', include: suitesOf('redis') } },
      { extends: true, test: { name: 'mysql', include: suitesOf('mysql') } },
      { extends: true, test: { name: 'http', include: suitesOf('http') } },
      {
        extends: true,
        // our client on the lowest axios that it takes
        resolve: { alias: { axios: 'axios-1-7' } },
        test: {
          name: 'http-axios-1-7',
          include: [...suitesOf('http'), 'packages/http-retry/test/**/*.test.ts'],
          exclude: ['**/suites/http/axios-retry.test.ts'],
        },
      },
      { extends: true, test: { name: 'mlflow', include: suitesOf('mlflow') } },
      { extends: true, test: { name: 'kafka', include: suitesOf('kafka') } },
      {
        extends: true,
        // what depends on the broker's answers, not on how it is broken
        test: {
          name: 'kafka-second-major',
          include: ['test-integration/suites/kafka/producer.test.ts'],
          env: { OUTLAST_KAFKA_MAJOR: 'second' },
        },
      },
      {
        extends: true,
        // our client on ioredis 5: what depends on the driver, not on libraries and topologies
        resolve: { alias: { ioredis: 'ioredis5' } },
        test: {
          name: 'redis-ioredis-5',
          include: suitesOf('redis'),
          exclude: [
            '**/suites/redis/{ecosystem-*,sentinel,cluster,crash-loop,ioredis-own-tests}.test.ts',
          ],
        },
      },
    ],
  },
});
