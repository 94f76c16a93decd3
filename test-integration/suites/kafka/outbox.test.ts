import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from '@outlast/pg-retry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isSkipped, takePostgres, waitFor } from '../../servers/index.js';
import { openKafkaLab } from '../support/kafka-lab.js';
import { handleOnce, put, relay, TABLES } from './outbox.js';

const lab = await openKafkaLab();
const postgres = await takePostgres();
const reason = lab.reason || (isSkipped(postgres) ? postgres.skipped : '');

describe.skipIf(reason !== '')(`the outbox of docs/outbox.md ${reason}`, () => {
  lab.use();
  let pool: Pool;

  beforeAll(async () => {
    if (isSkipped(postgres)) return;
    pool = new Pool({ connectionString: postgres.url() });
    await pool.query(TABLES);
    await pool.query('CREATE TABLE bills (number int PRIMARY KEY, paid int NOT NULL)');
  });
  afterAll(async () => {
    await pool?.end();
    if (!isSkipped(postgres)) await postgres.dispose();
  });

  it('is the text that is tested here', () => {
    const code = readFileSync(new URL('./outbox.ts', import.meta.url), 'utf8');
    const docs = readFileSync(new URL('../../../docs/outbox.md', import.meta.url), 'utf8');
    expect(docs).toContain(code.trim());
  });

  it('publishes what was committed and nothing else, and each message takes effect once', async () => {
    const topic = await lab.topic({ partitions: 3 });
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    const stop = new AbortController();
    const relays = [relay(pool, producer, stop.signal), relay(pool, producer, stop.signal)];

    const committed: number[] = [];
    const bill = async (number: number): Promise<void> => {
      await pool.transaction(async (tx) => {
        await tx.query('INSERT INTO bills VALUES ($1, 0)', [number]);
        await put(tx, topic, `${number % 5}`, `${number}`);
        if (number % 7 === 0) throw new Error('changed its mind');
      });
      committed.push(number);
    };
    const failing = new Set<number>();
    const consumer = lab.track(
      lab.kafka().consumer({ groupId: lab.name('group'), retry: { baseDelayMs: 50 } }),
    );
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ message }) => {
        const number = Number(message.value);
        await handleOnce(pool, `${message.headers?.['x-message-id']}`, (tx) =>
          tx.query('UPDATE bills SET paid = paid + 1 WHERE number = $1', [number]),
        );
        // The effect is there, and the message comes again.
        if (number % 10 === 3 && !failing.has(number)) {
          failing.add(number);
          throw new Error('died right after it');
        }
      },
    });
    for (let i = 0; i < 120; i += 10) {
      await Promise.allSettled(Array.from({ length: 10 }, (_, n) => bill(i + n)));
      if (i === 30) lab.refuseAll();
      if (i === 70) await lab.heal();
      // Whoever is active loses the session that holds the lock.
      if (i === 50 || i === 90) {
        await pool.query(
          `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted`,
        );
      }
      await sleep(40);
    }
    const unsent = async () =>
      (await pool.query('SELECT count(*)::int AS n FROM outbox WHERE NOT sent')).rows[0].n;
    await waitFor(async () => (await unsent()) === 0, { timeoutMs: 20_000, what: 'the outbox' });
    const paid = async () => (await pool.query('SELECT * FROM bills ORDER BY number')).rows;
    await waitFor(async () => (await paid()).every((one) => one.paid > 0), {
      timeoutMs: 20_000,
      what: 'every bill to be paid',
    });
    stop.abort();
    await Promise.all(relays);
    expect((await paid()).map((one) => [one.number, one.paid])).toEqual(
      [...committed].sort((a, b) => a - b).map((number) => [number, 1]),
    );
    expect(committed).toHaveLength(120 - 18);
    expect(failing.size).toBeGreaterThan(5);
    const values = new Set(await lab.values(topic));
    expect([...values].map(Number).sort((a, b) => a - b)).toEqual(committed.sort((a, b) => a - b));
  });
});
