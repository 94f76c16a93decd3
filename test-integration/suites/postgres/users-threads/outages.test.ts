import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../../servers/index.js';
import { ending } from '../../support/errors.js';
import { openLab } from '../../support/postgres-lab.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`a server that was away ${lab.reason}`, () => {
  lab.use();

  it.each(['refuses', 'is silent'] as const)(
    'and %s: connects that fail keep no place in the pool (slonik#631)',
    async (how) => {
      const max = 3;
      const pool = lab.pool({ max, connectionTimeoutMillis: 150, retry: { waitMs: 100 } });
      if (how === 'refuses') lab.proxy.refuse();
      else lab.proxy.silence('drop');
      for (let round = 0; round < 3; round++) {
        const ends = await Promise.all(
          Array.from({ length: 2 * max }, () => ending(pool.connect())),
        );
        expect(ends.some(({ ok }) => ok)).toBe(false);
        expect(pool.waitingCount).toBe(0);
      }
      await waitFor(() => pool.totalCount === 0, { what: 'the pool to be rid of them' });
      await lab.proxy.heal();
      const clients = await Promise.all(Array.from({ length: max }, () => pool.connect()));
      for (const client of clients) client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([max, max]);
    },
  );

  it('when the pool was made is waited for by its first connection (slonik#472, slonik#143)', async () => {
    lab.proxy.refuse();
    const pool = lab.pool();
    const told: unknown[] = [];
    pool.policy.on('down', ({ error }) => told.push((error as { code: string }).code));
    const first = pool.connect();
    await waitFor(() => told.length === 1, { what: 'the refusal' });
    await lab.proxy.accept();
    const client = await first;
    client.release();
    expect(told).toEqual(['ECONNREFUSED']);
  });

  it('has no slot left: whoever wants one waits until there is (slonik#68)', async () => {
    const sessions: pg.Client[] = [];
    const taking = async (): Promise<string> => {
      for (;;) {
        const session = await ending(lab.session());
        if (!session.ok) return session.error.message;
        sessions.push(session.value);
      }
    };
    const message = await taking();
    // "remaining connection slots are reserved for …", or "sorry, too many clients already"
    expect(message).toMatch(/remaining connection slots|too many clients/);
    const pool = lab.pool();
    const told: unknown[] = [];
    pool.policy.on('down', ({ error }) => told.push((error as { code: string }).code));
    const waiting = pool.query('select 1 as n');
    await waitFor(() => told.length === 1, { what: 'the refusal' });
    await sessions.pop()?.end();
    expect((await waiting).rows).toEqual([{ n: 1 }]);
    expect(told).toEqual(['53300']);
  });

  it('is starting up: that is no error, however long it takes (sequelize#2113, sequelize#10013)', async () => {
    const pool = lab.pool();
    const told: { code: string; message: string }[] = [];
    pool.policy.on('down', ({ error }) => told.push(error as { code: string; message: string }));
    const hold = join(lab.server.dataDir, 'hold');
    const command = `while [ -e ${hold} ]; do sleep 0.02; done; false`;
    await lab.server.admin(`alter system set restore_command = '${command}'`);
    await lab.server.stop();
    await writeFile(hold, '');
    await writeFile(join(lab.server.dataDir, 'recovery.signal'), '');
    const started = lab.server.start();
    await waitFor(
      async () => {
        const session = await ending(lab.session());
        return !session.ok && session.error.code === '57P03';
      },
      { what: 'the server to start up' },
    );
    const waiting = pool.query('select 1 as n');
    await waitFor(() => told.length === 1, { what: 'the refusal' });
    expect(told).toMatchObject([{ code: '57P03', message: 'the database system is starting up' }]);
    await rm(hold);
    expect((await waiting).rows).toEqual([{ n: 1 }]);
    await started;
    await lab.server.admin('alter system reset restore_command');
  });

  it('now and then, in the middle of a statement: reads have no error of it (slonik#626)', async () => {
    const pool = lab.pool({ max: 5 });
    const storm = lab.proxy.random({
      match: 'the same question',
      rate: 0.15,
      faults: ['cut-before', 'cut-after'],
      random: Math.random,
    });
    const reads = Array.from({ length: 300 }, (_, n) =>
      pool.query(`select $1::int as n, 'the same question' as asked`, [n]),
    );
    const answers = (await Promise.all(reads)).map(({ rows }) => rows[0].n);
    storm.stop();
    expect(storm.fired).toBeGreaterThan(10);
    expect(answers).toEqual(reads.map((_, n) => n));
  });
});
