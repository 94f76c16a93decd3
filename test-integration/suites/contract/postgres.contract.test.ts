import { Pool } from '@outlast/pg-retry';
import { isSkipped, takePostgres } from '../../servers/index.js';
import { connectorContract } from './connector-contract.js';

await connectorContract({
  name: 'pg-retry',
  wire: { read: /select 'read'/, write: /insert into written/ },
  refusedCode: 'ECONNREFUSED',
  async start() {
    const server = await takePostgres();
    if (isSkipped(server)) return server;
    if (!server.controllable) return { skipped: 'The contract needs a server that it may kill.' };
    await server.admin('create table written (id text not null)');
    await server.admin('grant all on written to app');
    return {
      port: server.port,
      stop: () => server.stop(),
      start: () => server.start(),
      kill9: () => server.kill9(),
      dispose: () => server.dispose(),
      writes: async () => {
        const { rows } = await server.admin(
          'select id, count(*)::int as n from written group by id',
        );
        return new Map(rows.map((row) => [row.id, row.n]));
      },
      connections: async () => {
        const sql = `select count(*)::int as n from pg_stat_activity where usename = 'app'`;
        return (await server.admin(sql)).rows[0].n;
      },
    };
  },
  makeClient(port, retry) {
    const pool = new Pool({
      connectionString: `postgres://app:app@127.0.0.1:${port}/app`,
      ...(retry && { retry }),
    });
    return {
      policy: pool.policy,
      read: (bounds) => pool.query({ text: `select 'read'`, ...bounds }),
      write: (id, bounds) =>
        pool.query({ text: 'insert into written values ($1)', values: [id], ...bounds }),
      refused: () => pool.query('select from no_such_table'),
      close: () => pool.end(),
    };
  },
  program: `
    import { Pool } from '@outlast/pg-retry';
    const pool = new Pool({ connectionString: 'postgres://app:app@127.0.0.1:' + process.env.PORT + '/app' });
    const reading = pool.query('select 1');
    console.log('waiting');
    await reading;
    console.log('done');
    await pool.end();`,
});
