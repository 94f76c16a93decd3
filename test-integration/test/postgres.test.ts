import { existsSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  findPostgres,
  isFree,
  isSkipped,
  type NativePostgres,
  startPostgres,
  takePostgres,
} from '../servers/index.js';
import { descendants, processState } from '../servers/process-table.js';

describe.each(findPostgres())('PostgreSQL $version ($source)', (installation) => {
  let server: NativePostgres;

  beforeAll(async () => {
    server = await startPostgres({ installation, log: 'all' });
    await server.admin('create table kept (n int primary key)');
  });
  afterAll(() => server.dispose());

  async function rows(): Promise<number> {
    return (await server.admin('select count(*)::int as n from kept')).rows[0].n;
  }

  it('has a superuser and a plain role', async () => {
    const client = new pg.Client({ connectionString: server.url() });
    await client.connect();
    const { rows } = await client.query(
      'select current_user as who, usesuper from pg_user where usename = current_user',
    );
    expect(rows).toEqual([{ who: 'app', usesuper: false }]);
    await client.query('create table own (n int)');
    await client.end();
    expect((await server.admin('show is_superuser')).rows).toEqual([{ is_superuser: 'on' }]);
    expect((await server.admin('show max_connections')).rows).toEqual([{ max_connections: '40' }]);
    expect((await server.admin('select $1::int + 1 as n', [41])).rows).toEqual([{ n: 42 }]);
  });

  it.each(['smart', 'fast', 'immediate'] as const)(
    'stops (%s) and comes back with its data',
    async (mode) => {
      const before = await rows();
      await server.admin(`insert into kept values (${before})`);
      const pid = server.pid as number;
      const log = (await server.logText()).length;
      await server.stop(mode);
      expect(processState(pid)).toBeUndefined();
      expect(await isFree(server.port)).toBe(true);
      expect(await server.logText(log)).toMatch(`received ${mode} shutdown request`);
      await expect(server.admin('select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await expect(server.stop()).rejects.toThrow('is not running');
      await server.start();
      expect(await rows()).toBe(before + 1);
    },
  );

  it('loses nothing acknowledged by kill -9, and no backend survives it', async () => {
    const client = new pg.Client(server.config());
    client.on('error', () => {});
    await client.connect();
    const sleeping = client.query('select pg_sleep(60)').catch((error: Error) => error);
    const before = await rows();
    await server.admin(`insert into kept values (${before})`);
    const pids = [server.pid as number, ...descendants(server.pid as number)];
    expect(pids.length).toBeGreaterThan(4);
    await server.kill9();
    expect(pids.map(processState).filter(Boolean)).toEqual([]);
    expect(await sleeping).toBeInstanceOf(Error);
    await server.start();
    expect(await rows()).toBe(before + 1);
    expect(await server.logText()).toContain('was not properly shut down');
  });

  it('pauses: silent, then everything queued is answered', async () => {
    const client = new pg.Client(server.config());
    await client.connect();
    await server.pause();
    let answered = false;
    const answer = client.query('select 7 as n').then((result) => {
      answered = true;
      return result.rows;
    });
    await expect(server.ready(300)).rejects.toThrow('Waited 300 ms in vain');
    expect(answered).toBe(false);
    await server.resume();
    expect(await answer).toEqual([{ n: 7 }]);
    await client.end();
  });

  it('can be stopped while it is paused', async () => {
    await server.pause();
    await server.restart();
    await server.ready();
  });

  it('leaves no process and no folder', async () => {
    const one = await startPostgres({ installation });
    const pid = one.pid as number;
    const identifier = 'select system_identifier as id from pg_control_system()';
    expect((await one.admin(identifier)).rows).not.toEqual((await server.admin(identifier)).rows);
    await one.dispose();
    await one.dispose();
    expect(processState(pid)).toBeUndefined();
    expect(existsSync(one.folder)).toBe(false);
  });
});

describe('startPostgres', () => {
  it('says why a server did not start', async () => {
    await expect(startPostgres({ settings: { wal_level: 'nonsense' } })).rejects.toThrow(
      /ended while starting.*nonsense/s,
    );
    await expect(startPostgres({ major: 3 })).rejects.toThrow('No PostgreSQL 3 is installed here.');
  });
});

describe('takePostgres', () => {
  it('gives a server, or a reason with a cure', async () => {
    const ci = process.env['CI'];
    delete process.env['CI'];
    const taken = await takePostgres({ major: 4 });
    expect(isSkipped(taken) && taken.skipped).toMatch(
      /No PostgreSQL 4 on this machine\..*To have one, run/,
    );
    process.env['CI'] = 'true';
    await expect(takePostgres({ major: 4 })).rejects.toThrow('No PostgreSQL 4');
    if (ci === undefined) delete process.env['CI'];
    else process.env['CI'] = ci;
  });

  it('takes the server that PG_URL names, and leaves it alone', async () => {
    const own = await startPostgres();
    process.env['PG_URL'] = own.url({ user: 'postgres', database: 'postgres' });
    try {
      const taken = await takePostgres();
      if (isSkipped(taken)) throw new Error(taken.skipped);
      expect(taken).toMatchObject({
        source: 'url',
        controllable: false,
        port: own.port,
        major: own.major,
      });
      expect((await taken.admin('select current_database() as db')).rows).toEqual([{ db: 'app' }]);
      await expect(taken.stop()).rejects.toThrow('The server given by PG_URL cannot be stopped');
      await taken.dispose();
      await own.ready();
    } finally {
      delete process.env['PG_URL'];
      await own.dispose();
    }
  });
});
