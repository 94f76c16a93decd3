import { createPool } from '@outlast/mysql-retry';
import { isSkipped, takeMysql } from '../../servers/index.js';
import { connectorContract } from './connector-contract.js';

await connectorContract({
  name: 'mysql-retry',
  wire: { read: /select 'read'/, write: /insert into written/ },
  refusedCode: 'ECONNREFUSED',
  async start() {
    const server = await takeMysql({ own: true });
    if (isSkipped(server)) return server;
    await server.admin('create table written (id varchar(40) not null)');
    return {
      port: server.port,
      stop: () => server.stop(),
      start: () => server.start(),
      kill9: () => server.kill9(),
      dispose: () => server.dispose(),
      writes: async () => {
        const rows: { id: string; n: number }[] = await server.admin(
          'select id, count(*) as n from written group by id',
        );
        return new Map(rows.map(({ id, n }) => [id, n]));
      },
      connections: async () => (await server.sessions()).length,
    };
  },
  makeClient(port, retry) {
    const uri = `mysql://app:app@127.0.0.1:${port}/app`;
    const pool = createPool({ uri, ...(retry && { retry }) });
    return {
      policy: pool.policy,
      read: (bounds) => pool.query({ sql: `select 'read'`, ...bounds }),
      write: (id, bounds) =>
        pool.query({ sql: 'insert into written values (?)', values: [id], ...bounds }),
      refused: () => pool.query('select * from no_such_table'),
      close: () => pool.end(),
    };
  },
  program: `
    import { createPool } from '@outlast/mysql-retry';
    const pool = createPool('mysql://app:app@127.0.0.1:' + process.env.PORT + '/app');
    const reading = pool.query('select 1');
    console.log('waiting');
    await reading;
    console.log('done');
    await pool.end();`,
});
