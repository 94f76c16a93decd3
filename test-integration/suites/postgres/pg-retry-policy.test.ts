import { isOutcomeUnknown, pgRetry, retryInfo } from '@outlast/pg-retry';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();

describe.skipIf(lab.reason)(`pgRetry() around a client of the caller’s own ${lab.reason}`, () => {
  lab.use();

  const withClient = async <T>(work: (client: pg.Client) => Promise<T>): Promise<T> => {
    const client = new pg.Client(lab.server.config({ port: lab.proxy.port }));
    client.on('error', () => {});
    try {
      await client.connect();
      return await work(client);
    } finally {
      await client.end().catch(() => {});
    }
  };

  it('retries what was refused, until there is somebody', async () => {
    const policy = pgRetry({ baseDelayMs: 20, maxDelayMs: 50, maxAttempts: 100 });
    lab.proxy.refuse();
    let retries = 0;
    policy.on('retry', (event) => {
      retries += 1;
      expect(event.failure).toMatchObject({ category: 'network', outcome: 'not-applied' });
    });
    const pending = policy.execute(() => withClient((client) => client.query('select 1 as n')));
    await waitFor(() => retries >= 3, { what: 'three retries' });
    await lab.proxy.accept();
    expect((await pending).rows).toEqual([{ n: 1 }]);
  });

  it('does not repeat a statement whose answer was lost, unless it is said to be idempotent', async () => {
    const table = await lab.table();
    const policy = pgRetry({ baseDelayMs: 10 });
    const insert = (): Promise<unknown> =>
      withClient((client) => client.query(`insert into ${table} values ('a')`));
    lab.proxy.arm({ when: { bytes: /insert/ }, fault: 'cut-after' });
    const error = await failureOf(policy.execute(insert));
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'outcome-unknown' });
    expect(await lab.count(table)).toBe(1);
    lab.proxy.arm({ when: { bytes: /insert/ }, fault: 'cut-after' });
    await policy.execute(insert, { idempotent: true });
    expect(await lab.count(table)).toBe(3);
  });

  it('does not ask twice for what the server refuses', async () => {
    const policy = pgRetry();
    let calls = 0;
    const error = await failureOf(
      policy.execute(() => {
        calls += 1;
        return withClient((client) => client.query('select * from no_such_table'));
      }),
    );
    expect(error).toMatchObject({ code: '42P01' });
    expect(calls).toBe(1);
  });
});
