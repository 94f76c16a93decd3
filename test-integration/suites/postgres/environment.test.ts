import { isOutcomeUnknown, retryInfo } from '@outlast/pg-retry';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ending, failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();

describe.skipIf(lab.reason)(`the environment ${lab.reason}`, () => {
  lab.use();
  afterEach(() => vi.unstubAllEnvs());

  it.each(['PG_RETRY', 'DB_RETRY', 'DATABASE_RETRY'])(
    '%s_ENABLED=false means one attempt and no waiting',
    async (prefix) => {
      vi.stubEnv(`${prefix}_ENABLED`, 'false');
      const pool = lab.pool();
      lab.proxy.refuse();
      const end = await ending(pool.query('select 1'));
      expect(!end.ok && end.error).toMatchObject({ code: 'ECONNREFUSED' });
      expect(end.ms).toBeLessThan(250);
      await lab.proxy.accept();
      const armed = lab.proxy.arm({ when: { bytes: /select 7/ }, fault: 'cut-before' });
      const error = await failureOf(pool.query('select 7'));
      expect(armed.fired).toBe(1);
      expect(error).toMatchObject({ code: 'ECONNRESET' });
      expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'exhausted' });
      expect(isOutcomeUnknown(error)).toBe(true);
    },
  );

  it('WAIT says how long to wait for the server, in seconds', async () => {
    vi.stubEnv('PG_RETRY_WAIT', '0.4');
    const pool = lab.pool();
    lab.proxy.refuse();
    const end = await ending(pool.query('select 1'));
    expect(end.ok).toBe(false);
    expect(end.ms).toBeGreaterThanOrEqual(390);
    expect(end.ms).toBeLessThan(1000);
  });

  it('TOTAL_TIMEOUT bounds everything, in seconds', async () => {
    vi.stubEnv('DB_RETRY_TOTAL_TIMEOUT', '0.3');
    const pool = lab.pool();
    const end = await ending(pool.transaction((tx) => tx.query('select pg_sleep(20)')));
    expect(end.ok).toBe(false);
    expect(end.ms).toBeLessThan(1500);
  });

  it('loses against options in code', async () => {
    vi.stubEnv('PG_RETRY_ENABLED', 'false');
    const pool = lab.pool({ retry: { maxAttempts: 3, baseDelayMs: 10 } });
    const armed = lab.proxy.arm({ when: { bytes: /select 7/ }, fault: 'cut-before', times: 2 });
    await pool.query('select 7');
    expect(armed.fired).toBe(2);
  });
});
