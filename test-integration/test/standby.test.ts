import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  findPostgres,
  type NativePostgres,
  startPostgres,
  startStandby,
  waitFor,
} from '../servers/index.js';

const TIMELINE = 'select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline';
const IDENTIFIER = 'select system_identifier as id from pg_control_system()';

describe.each(findPostgres())('a standby of PostgreSQL $version ($source)', (installation) => {
  let primary: NativePostgres;
  let standby: NativePostgres;

  beforeAll(async () => {
    primary = await startPostgres({ installation });
    await primary.admin('create table t (n int)');
    standby = await startStandby(primary);
  });
  afterAll(async () => {
    await standby?.dispose();
    await primary.dispose();
  });

  function rows(server: NativePostgres): Promise<boolean> {
    return waitFor(async () => (await server.admin('select n from t')).rows.length === 1);
  }

  it('follows, refuses writes, and is the same system', async () => {
    await primary.admin('insert into t values (1)');
    await rows(standby);
    await expect(standby.admin('insert into t values (2)')).rejects.toMatchObject({
      code: '25006',
    });
    expect((await standby.admin(IDENTIFIER)).rows).toEqual((await primary.admin(IDENTIFIER)).rows);
  });

  it('is on a timeline of its own when promoted, and the old primary can follow it', async () => {
    expect((await primary.admin(TIMELINE)).rows).toEqual([{ timeline: '00000001' }]);
    await primary.stop('fast');
    await standby.promote();
    expect((await standby.admin(TIMELINE)).rows).toEqual([{ timeline: '00000002' }]);
    await expect(standby.promote()).rejects.toMatchObject({ code: '55000' });
    await primary.follow(standby);
    await primary.start();
    expect((await primary.admin('select pg_is_in_recovery() as standby')).rows).toEqual([
      { standby: true },
    ]);
    await standby.admin('delete from t');
    await standby.admin('insert into t values (3)');
    await waitFor(async () => (await primary.admin('select n from t')).rows[0]?.n === 3);
  });
});
