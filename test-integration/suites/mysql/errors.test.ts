import { classifyMysql, type ResultSetHeader } from '@outlast/mysql-retry';
import mysql from 'mysql2/promise';
import { describe, expect, it } from 'vitest';
import { startMariadb } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openMysqlLab } from '../support/mysql-lab.js';

const lab = await openMysqlLab({
  settings: { 'max-allowed-packet': '1M', 'max-user-connections': 50 },
});

const live = (errno: number, phase: 'connect' | 'sent', error: unknown): string => {
  expect(error).toMatchObject({ errno });
  const { category, transient, outcome } = classifyMysql(error, phase);
  return `${category} ${transient ? outcome : 'never'}`;
};

// The rows of reference/sql.md §2c that MariaDB can be made to say, from the plain driver.
describe.skipIf(lab.reason)(`an error number, live ${lab.reason}`, () => {
  lab.use();

  const connect = (options: object = {}): Promise<mysql.Connection> =>
    mysql.createConnection({ ...lab.server.config(), ...options });

  it('1045, 1044, 1049: who may not, or asks for what is not there', async () => {
    const wrong = await failureOf(connect({ password: 'wrong' }));
    expect(live(1045, 'connect', wrong)).toBe('auth never');
    expect(live(1044, 'connect', await failureOf(connect({ database: 'mysql' })))).toBe(
      'auth never',
    );
    await lab.server.admin("create user if not exists 'all'@'%' identified by 'all'");
    await lab.server.admin("grant select on *.* to 'all'@'%'");
    const missing = await failureOf(connect({ user: 'all', password: 'all', database: 'nowhere' }));
    expect(live(1049, 'connect', missing)).toBe('not-found never');
  });

  it('1040: too many connections', async () => {
    await lab.server.admin('set global max_connections = 10');
    const open: mysql.Connection[] = [];
    try {
      let refused: unknown;
      while (refused === undefined && open.length < 12) {
        await connect().then(
          (one) => open.push(one),
          (error: unknown) => {
            refused = error;
          },
        );
      }
      expect(refused).not.toHaveProperty('fatal');
      expect(live(1040, 'connect', refused)).toBe('resource-exhausted not-applied');
    } finally {
      for (const one of open) await one.end();
      await lab.server.admin('set global max_connections = 60');
    }
  });

  it('1203, 1226: more than one user may have', async () => {
    await lab.server.admin("create user 'few'@'%' identified by 'few'");
    await lab.server.admin("grant all on app.* to 'few'@'%'");
    const few = { user: 'few', password: 'few' };
    await lab.server.admin("alter user 'few'@'%' with max_user_connections 1");
    const only = await connect(few);
    expect(live(1226, 'connect', await failureOf(connect(few)))).toBe(
      'resource-exhausted not-applied',
    );
    await only.end();
    await lab.server.admin("alter user 'few'@'%' with max_user_connections 0");
    await lab.server.admin('set global max_user_connections = 1');
    const first = await connect(few);
    const error = await failureOf(connect(few));
    await lab.server.admin('set global max_user_connections = 50');
    await first.end();
    expect(live(1203, 'connect', error)).toBe('resource-exhausted not-applied');
  });

  it('1130, 1698: whom the server does not let in', async () => {
    await lab.server.admin("create user 'socket'@'%' identified via unix_socket");
    const socket = await failureOf(connect({ user: 'socket', password: '' }));
    expect(live(1698, 'connect', socket)).toBe('auth never');
    await using elsewhere = await startMariadb();
    for (const sql of [
      "rename user 'app'@'%' to 'app'@'192.0.2.1'",
      "drop user if exists 'root'@'127.0.0.1'",
      'flush privileges',
    ]) {
      await elsewhere.admin(sql);
    }
    const host = await failureOf(mysql.createConnection(elsewhere.config()));
    expect(live(1130, 'connect', host)).toBe('auth never');
  });

  it('1064, 1054, 1146, 1062, 1451, 1452, 1142, 1227: what no second try will mend', async () => {
    const parent = await lab.table('id int primary key');
    const child = await lab.table(`p int, foreign key (p) references ${parent} (id)`);
    const one = await lab.session();
    await one.query(`insert into ${parent} values (1)`);
    await one.query(`insert into ${child} values (1)`);
    const cases = [
      [1064, 'selec 1', 'invalid never'],
      [1054, `select nothing from ${parent}`, 'invalid never'],
      [1146, 'select * from nowhere', 'not-found never'],
      [1062, `insert into ${parent} values (1)`, 'conflict never'],
      [1451, `delete from ${parent}`, 'conflict never'],
      [1452, `insert into ${child} values (2)`, 'conflict never'],
      [1142, 'select * from mysql.user', 'auth never'],
      [1227, 'set global max_connections = 5', 'auth never'],
    ] as const;
    for (const [errno, sql, verdict] of cases) {
      expect([errno, live(errno, 'sent', await failureOf(one.query(sql)))]).toEqual([
        errno,
        verdict,
      ]);
    }
  });

  it('1205, 1213: rivals', async () => {
    const table = await lab.table('id int primary key, v int');
    const [one, two] = [await lab.session(), await lab.session()];
    await one.query(`insert into ${table} values (1, 0), (2, 0)`);
    await two.query('set innodb_lock_wait_timeout = 1');
    await one.query('begin');
    await one.query(`update ${table} set v = 1 where id = 1`);
    const waited = await failureOf(two.query(`update ${table} set v = 2 where id = 1`));
    expect(live(1205, 'sent', waited)).toBe('contention not-applied');
    const nowait = await failureOf(
      two.query(`select * from ${table} where id = 1 for update nowait`),
    );
    expect(live(1205, 'sent', nowait)).toBe('contention not-applied');
    await two.query('begin');
    await two.query(`update ${table} set v = 2 where id = 2`);
    const first = one.query(`update ${table} set v = 1 where id = 2`).then(
      () => undefined,
      (error: unknown) => error,
    );
    const second = await two.query(`update ${table} set v = 2 where id = 1`).then(
      () => undefined,
      (error: unknown) => error,
    );
    await two.query('rollback');
    const deadlock = (await first) ?? second;
    await one.query('rollback');
    expect(live(1213, 'sent', deadlock)).toBe('contention not-applied');
  });

  it('1290, 1792: a server, and a transaction, that takes no writes', async () => {
    const table = await lab.table();
    const one = await lab.session();
    await lab.server.admin('set global read_only = 1');
    try {
      const error = await failureOf(one.query(`insert into ${table} values ('a')`));
      expect(live(1290, 'sent', error)).toBe('unavailable not-applied');
    } finally {
      await lab.server.admin('set global read_only = 0');
    }
    await one.query('start transaction read only');
    const refused = await failureOf(one.query(`insert into ${table} values ('a')`));
    expect(live(1792, 'sent', refused)).toBe('invalid never');
    await one.query('rollback');
    const file = await failureOf(lab.server.admin("select 1 into outfile '/nowhere/at/all'"));
    expect(classifyMysql(file, 'sent').transient).toBe(false);
  });

  it('1969, 1317, 1153: statements that were ended', async () => {
    const one = await lab.session();
    const late = await failureOf(
      one.query(
        'set statement max_statement_time = 0.1 for select count(*) from seq_1_to_9999 a join seq_1_to_9999 b',
      ),
    );
    expect(late).not.toHaveProperty('code', expect.any(String));
    expect(live(1969, 'sent', late)).toBe('timeout never');
    const table = await lab.table('a int');
    await one.query(`insert into ${table} select seq from seq_1_to_2000`);
    const long = failureOf(
      one.query<ResultSetHeader>(`delete a from ${table} a join ${table} b join ${table} c`),
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    await lab.server.admin(`kill query ${one.threadId}`);
    expect(live(1317, 'sent', await long)).toBe('timeout never');
    const big = await failureOf(one.query('select ?', ['x'.repeat(2 * 1024 * 1024)]));
    // The server closes with most of it unread, and its answer may be lost in the reset.
    if (big.errno === 1153) expect(live(1153, 'sent', big)).toBe('invalid never');
    else
      expect(classifyMysql(big, 'sent')).toMatchObject({ code: 'ECONNRESET', outcome: 'unknown' });
  });
});
