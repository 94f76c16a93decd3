import { isOutcomeUnknown, RETRYABLE_SQLSTATES, retryInfo } from '@outlast/pg-retry';
import { beforeAll, describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();
const words = (text: string): readonly string[] => text.trim().split(/\s+/);

// What becomes of one statement of its own that the server refuses with ERROR and this SQLSTATE: the verdicts
// of `reference/sql.md` §2a. Two have suites of their own: a cached plan (0A000 of one routine), and 26000.
const REPEATED = words('08001 08004 25P03 40000 40001 40P01 CR000 53000 53200 53300 53400 57P03');
const UNKNOWN = words('08000 08003 08006 08007 40003 57P01 57P02 57P05');
const UNKNOWN_FOR_GOOD = words('08P01 58000 58030');
const REFUSED = words(`0A000 25001 25006 25P01 25P02 28000 28P01 3D000 40002 55000 55006 55P03 53100
  57000 57014 57P04 F0000 XX000 XX001 XX002 22012 23505 42601 2B000 44000 P0001`);

describe.skipIf(lab.reason)(`a SQLSTATE of a real server ${lab.reason}`, () => {
  lab.use();

  beforeAll(async () => {
    await lab.server.admin('create sequence runs');
    await lab.server.admin('grant all on sequence runs to app');
    await lab.server.admin(`create function refuse(code text, times int) returns int language plpgsql as $$
      declare run int = nextval('runs');
      begin
        if run <= times then raise 'refused' using errcode = code; end if;
        return run;
      end $$`);
    await lab.server.admin('create table ran (run int)');
    await lab.server.admin('grant all on ran to app');
  });

  /** A write that is refused so many times. */
  async function refused(code: string, times: number): Promise<string> {
    await lab.server.admin('alter sequence runs restart');
    return `insert into ran select refuse('${code}', ${times}) returning run`;
  }
  const runs = (): Promise<number> => lab.value('select last_value::int from runs');

  it.each(REPEATED)('live: %s is repeated, for the server has rolled it back', async (code) => {
    const pool = lab.pool({ retry: { baseDelayMs: 10 } });
    const { rows } = await pool.query(await refused(code, 2));
    expect(rows).toEqual([{ run: 3 }]);
    expect(pool.totalCount).toBe(1);
  });

  it.each([
    ...UNKNOWN.map((code) => [code, 'outcome-unknown'] as const),
    ...UNKNOWN_FOR_GOOD.map((code) => [code, 'permanent'] as const),
  ])('live: %s may have been applied, and is not repeated', async (code, reason) => {
    const pool = lab.pool({ retry: { baseDelayMs: 10 } });
    const error = await failureOf(pool.query(await refused(code, 9)));
    expect([error.code, isOutcomeUnknown(error)]).toEqual([code, true]);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason });
    expect(await runs()).toBe(1);
  });

  it.each(REFUSED)('live: %s is the answer, and is not asked for twice', async (code) => {
    const pool = lab.pool({ retry: { baseDelayMs: 10 } });
    const error = await failureOf(pool.query(await refused(code, 9)));
    expect([error.code, isOutcomeUnknown(error)]).toEqual([code, false]);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    expect(await runs()).toBe(1);
    // a refusal as read-only may be the server's: it costs the connection
    expect(pool.totalCount).toBe(code === '25006' ? 0 : 1);
  });

  it('has a test for all that are said to be retryable, and for no other', () => {
    expect([...REPEATED, ...UNKNOWN].sort()).toEqual([...RETRYABLE_SQLSTATES].sort());
  });
});
