import { isCommitOutcomeUnknownError, Pool } from '@outlast/pg-retry';
import { afterAll, describe, expect, it } from 'vitest';
import { startProxy } from '../../faults/index.js';
import { isSkipped, type PostgresServer, startStandby, takePostgres } from '../../servers/index.js';

const second = process.env['OUTLAST_PG_MAJOR'] === 'second';
const taken = await takePostgres(second ? { major: 'second' } : {});
const reason = isSkipped(taken)
  ? taken.skipped
  : taken.controllable
    ? ''
    : 'needs a server to kill';

describe.skipIf(reason !== '')(`a COMMIT lost in a failover ${reason}`, () => {
  const primary = taken as PostgresServer;
  afterAll(() => primary.dispose());

  it('is unknown on the promoted standby: another timeline may not have it', async () => {
    await primary.admin('create table promoted (v int)');
    await primary.admin('grant all on promoted to app');
    const standby = await startStandby(primary);
    const proxy = await startProxy({ targetPort: primary.port });
    const pool = new Pool({ connectionString: primary.url({ port: proxy.port }) });
    try {
      const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
      const running = pool
        .transaction((tx) => tx.query('insert into promoted values (1)'))
        .catch((error: unknown) => error);
      await armed.hit;
      proxy.refuse();
      await primary.kill9();
      await standby.promote();
      proxy.retarget(standby.port);
      await proxy.accept();
      const error = await running;
      expect(isCommitOutcomeUnknownError(error)).toBe(true);
      expect(String(error)).toMatch(/another one, or was promoted/);
    } finally {
      await pool.end();
      await proxy.close();
      await standby.dispose();
    }
  });
});
