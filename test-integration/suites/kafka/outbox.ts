import { setTimeout as sleep } from 'node:timers/promises';
import type { RetryProducer } from '@outlast/kafka-retry';
import type { Pool, Transaction } from '@outlast/pg-retry';

export const TABLES = `
  CREATE TABLE IF NOT EXISTS outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id uuid NOT NULL DEFAULT gen_random_uuid(),
    topic text NOT NULL, key text, value text NOT NULL,
    sent boolean NOT NULL DEFAULT false);
  CREATE INDEX IF NOT EXISTS outbox_unsent ON outbox (id) WHERE NOT sent;
  CREATE TABLE IF NOT EXISTS handled (message_id uuid PRIMARY KEY)`;

/** In the transaction that changes what the message tells of. */
export async function put(tx: Transaction, topic: string, key: string, value: string) {
  await tx.query('INSERT INTO outbox (topic, key, value) VALUES ($1, $2, $3)', [topic, key, value]);
}

/** Publishes what is in the outbox until the signal aborts. Run it in every process: one is active. */
export async function relay(pool: Pool, producer: RetryProducer, signal: AbortSignal) {
  while (!signal.aborted) {
    await publish(pool, producer, signal).catch(() => {
      // Its connection was lost, and with it the lock: whoever is first goes on.
    });
    await sleep(500, undefined, { signal }).catch(() => {});
  }
}

async function publish(pool: Pool, producer: RetryProducer, signal: AbortSignal) {
  const client = await pool.connect();
  try {
    const lock = await client.query("SELECT pg_try_advisory_lock(hashtext('outbox')) AS mine");
    while (lock.rows[0].mine && !signal.aborted) {
      // By their state: a transaction with a lower id may commit later.
      const { rows } = await client.query(
        'SELECT * FROM outbox WHERE NOT sent ORDER BY id LIMIT 500',
      );
      const topicMessages = rows.map(({ topic, key, value, message_id }) => ({
        topic,
        messages: [{ key, value, headers: { 'x-message-id': message_id } }],
      }));
      await producer.sendBatch({ topicMessages });
      const ids = rows.map(({ id }) => id);
      await client.query('UPDATE outbox SET sent = true WHERE id = ANY($1)', [ids]);
      if (rows.length === 0) await sleep(100);
    }
  } finally {
    client.release(true); // its session ends, and with it the lock
  }
}

/** The work is done once, however often the message comes. */
export async function handleOnce(
  pool: Pool,
  messageId: string,
  work: (tx: Transaction) => Promise<unknown>,
) {
  await pool.transaction(async (tx) => {
    const insert = 'INSERT INTO handled VALUES ($1) ON CONFLICT DO NOTHING';
    const { rowCount } = await tx.query(insert, [messageId]);
    if (rowCount === 1) await work(tx);
  });
}
