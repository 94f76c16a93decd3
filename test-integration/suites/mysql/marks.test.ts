import { isOutcomeUnknown, retryInfo } from '@outlast/mysql-retry';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { openMysqlLab } from '../support/mysql-lab.js';

const lab = await openMysqlLab();

describe.skipIf(lab.reason)(`an error on a connection that is checked out ${lab.reason}`, () => {
  lab.use();

  it.each([
    ['cut-before', 0],
    ['cut-after', 1],
  ] as const)(
    'of a statement that was sent is unknown (%s), of the one behind it not applied',
    async (fault, present) => {
      const table = await lab.table();
      const connection = await lab.pool().getConnection();
      const armed = lab.proxy.arm({ when: { bytes: `into ${table}` }, fault });
      const [sent, queued] = await Promise.all(
        ['a', 'b'].map((id) =>
          failureOf(connection.query(`insert into ${table} values ('${id}')`)),
        ),
      );
      expect(armed.fired).toBe(1);
      expect(sent).toMatchObject({ code: 'ECONNRESET', fatal: true });
      expect(retryInfo(sent)).toMatchObject({
        operation: 'mysql.connection.query',
        attempts: 1,
        reason: 'outcome-unknown',
        outcome: 'unknown',
      });
      // The driver has one error for both: the second is told by a copy.
      expect(queued).not.toBe(sent);
      expect(queued).toMatchObject({ code: 'ECONNRESET', cause: sent });
      expect(retryInfo(queued)?.outcome).toBe('not-applied');
      connection.release();
      expect(await lab.count(table)).toBe(present);
    },
  );

  it.each(['cut-before', 'cut-after'] as const)(
    'of COMMIT is unknown (%s), and so is that of the ROLLBACK after it',
    async (fault) => {
      const table = await lab.table();
      const connection = await lab.pool().getConnection();
      await connection.beginTransaction();
      await connection.query(`insert into ${table} values ('a')`);
      lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault });
      expect(isOutcomeUnknown(await failureOf(connection.commit()))).toBe(true);
      expect(isOutcomeUnknown(await failureOf(connection.rollback()))).toBe(true);
      const later = await failureOf(connection.query('select 1'));
      expect(retryInfo(later)?.outcome).toBe('not-applied');
      connection.release();
    },
  );

  it('of a ROLLBACK after a lost statement is not applied: nothing was committed', async () => {
    const table = await lab.table();
    const connection = await lab.pool().getConnection();
    await connection.beginTransaction();
    lab.proxy.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
    await failureOf(connection.query(`insert into ${table} values ('a')`));
    expect(retryInfo(await failureOf(connection.rollback()))?.outcome).toBe('not-applied');
    connection.destroy();
    expect(await lab.count(table)).toBe(0);
  });

  it('of what was only prepared is not applied, and an answer of the server is what it is', async () => {
    const table = await lab.table();
    const connection = await lab.pool().getConnection();
    const refused = await failureOf(connection.query('selec 1'));
    expect(retryInfo(refused)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
    lab.proxy.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
    const error = await failureOf(connection.execute(`insert into ${table} values (?)`, ['a']));
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied' });
    connection.release();
    expect(await lab.count(table)).toBe(0);
  });

  it('of a prepared statement that was executed is unknown', async () => {
    const table = await lab.table();
    const connection = await lab.pool().getConnection();
    const statement = await connection.prepare(`insert into ${table} values (?)`);
    lab.proxy.arm({ when: { bytes: 'marked-value' }, fault: 'cut-after' });
    const error = await failureOf(statement.execute(['marked-value']));
    expect(isOutcomeUnknown(error)).toBe(true);
    connection.release();
    expect(await lab.count(table)).toBe(1);
  });
});
