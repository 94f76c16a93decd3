import { Pool } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();

describe.skipIf(lab.reason)(`healthCheck() ${lab.reason}`, () => {
  lab.use();

  it('tells of a server that is there', async () => {
    const pool = lab.pool();
    const health = await pool.healthCheck();
    expect(health).toMatchObject({
      ok: true,
      attempts: 1,
      details: { total: 1, idle: 1, waiting: 0, inRecovery: false },
    });
    expect(health.ms).toBeGreaterThan(0);
    expect(health.details.serverVersion).toMatch(new RegExp(`^${lab.server.major}\\b`));
    expect(health).not.toHaveProperty('error');
  });

  it('never rejects: nobody listens', async () => {
    const pool = lab.pool();
    lab.proxy.refuse();
    const health = await pool.healthCheck();
    expect(health).toMatchObject({ ok: false, attempts: 3, error: { code: 'ECONNREFUSED' } });
    // Half a second and a second, each give or take half of it.
    expect(health.ms).toBeGreaterThan(700);
    expect(health.ms).toBeLessThan(5000);
    await lab.proxy.accept();
    expect((await pool.healthCheck()).ok).toBe(true);
  });

  it('never rejects: the server takes no such role', async () => {
    const pool = lab.pool({ user: 'nobody', database: 'app' });
    const health = await pool.healthCheck();
    expect(health).toMatchObject({ ok: false, attempts: 1, error: { code: '28000' } });
  });

  it('never rejects: the answer is lost, and it asks again', async () => {
    const pool = lab.pool();
    await pool.query('select 1');
    const armed = lab.proxy.arm({ when: { bytes: /server_version/ }, fault: 'cut-after' });
    expect(await pool.healthCheck()).toMatchObject({ ok: true, attempts: 2 });
    expect(armed.fired).toBe(1);
  });

  it('never rejects: the pool has ended', async () => {
    const pool = new Pool(lab.server.config());
    await pool.end();
    const health = await pool.healthCheck();
    expect(health.ok).toBe(false);
    expect(health.error).toBeInstanceOf(Error);
  });

  it('is bounded when every connection is in use, and leaves the waiters alone', async () => {
    const pool = lab.pool({ max: 1, connectionTimeoutMillis: 200 });
    const client = await pool.connect();
    const health = await pool.healthCheck();
    expect(health.ok).toBe(false);
    expect(health.ms).toBeLessThan(10_000);
    client.release();
    expect((await pool.healthCheck()).ok).toBe(true);
    expect(pool.waitingCount).toBe(0);
  });
});
