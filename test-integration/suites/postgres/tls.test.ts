import { chownSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeadlineExceededError } from '@outlast/core-retry';
import { retryInfo } from '@outlast/pg-retry';
import { beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { makeCertificate } from '../support/certificate.js';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`over TLS ${lab.reason}`, () => {
  lab.use();
  let ca: string;

  beforeAll(async () => {
    const { key, cert } = await makeCertificate('127.0.0.1');
    ca = cert;
    const folder = lab.server.dataDir;
    const { uid, gid } = statSync(folder);
    for (const [name, text] of [
      ['server.key', key],
      ['server.crt', cert],
    ] as const) {
      const file = join(folder, name);
      writeFileSync(file, text, { mode: 0o600 });
      chownSync(file, uid, gid);
    }
    await lab.server.admin('alter system set ssl = on');
    await lab.server.admin('select pg_reload_conf()');
    await waitFor(async () => (await lab.server.admin('show ssl')).rows[0].ssl === 'on', {
      what: 'the server to speak TLS',
    });
  });

  const secure = () => ({ ssl: { ca } });
  const active = async (): Promise<number> =>
    (await lab.sessions()).filter(({ state }) => state === 'active').length;

  it('a query is encrypted, and goes on after every wire was cut', async () => {
    const pool = lab.pool(secure());
    const session = async (): Promise<number> => {
      const { rows } = await pool.query(
        'select pid, ssl from pg_stat_ssl where pid = pg_backend_pid()',
      );
      expect(rows).toEqual([{ pid: expect.any(Number), ssl: true }]);
      return rows[0].pid;
    };
    const first = await session();
    lab.proxy.cutAll();
    expect(await session()).not.toBe(first);
  });

  it('a statement that took too long is stopped on the server, by a request that is encrypted too', async () => {
    const table = await lab.table();
    const pool = lab.pool(secure());
    const text = `insert into ${table} select 'a' from pg_sleep(30)`;
    const error = await failureOf(pool.query({ text, totalTimeoutMs: 300 }));
    expect(isDeadlineExceededError(error)).toBe(true);
    await waitFor(async () => (await active()) === 0, { what: 'the statement to be stopped' });
    expect(await lab.count(table)).toBe(0);
  });

  it('a certificate that nobody vouches for is refused once, and nothing is sent', async () => {
    const { cert } = await makeCertificate('somebody else');
    const pool = lab.pool({ ssl: { ca: cert } });
    const error = await failureOf(pool.query('select 1'));
    expect(error).toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    expect(retryInfo(error)).toMatchObject({ attempts: 1, outcome: 'not-applied' });
    expect(lab.proxy.counts.connections).toBe(1);
  });
});
