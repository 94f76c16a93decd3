import { existsSync } from 'node:fs';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  findMariadb,
  isFree,
  isSkipped,
  missingMysql,
  type NativeMariadb,
  startMariadb,
  statementsIn,
  takeMysql,
  waitFor,
} from '../servers/index.js';
import { processState } from '../servers/process-table.js';

const reason = findMariadb().length === 0 ? missingMysql() : '';

describe.skipIf(reason !== '')(`MariaDB of our own ${reason}`, () => {
  let server: NativeMariadb;

  beforeAll(async () => {
    server = await startMariadb({ log: true });
    await server.admin('create table kept (v int primary key)');
  });
  afterAll(() => server.dispose());

  it('stops and comes back with its data, on the same port', async () => {
    const pid = server.pid as number;
    await server.admin('insert into kept values (1)');
    await server.stop();
    expect(processState(pid)).toBeUndefined();
    expect(await isFree(server.port)).toBe(true);
    await expect(server.stop()).rejects.toThrow('is not running');
    await server.start();
    expect(await server.admin('select v from kept')).toEqual([{ v: 1 }]);
    expect(server.pid).not.toBe(pid);
  });

  it('loses nothing acknowledged by kill -9', async () => {
    const connection = await mysql.createConnection(server.config());
    connection.on('error', () => {});
    let acknowledged = 1;
    const writing = (async () => {
      for (;;) {
        await connection.query('insert into kept values (?)', [acknowledged + 1]);
        acknowledged += 1;
      }
    })().catch(() => {});
    await waitFor(() => acknowledged > 100, { what: 'some writes' });
    await server.kill9();
    await writing;
    await server.start();
    const [row] = await server.admin('select max(v) as v from kept');
    expect([acknowledged, acknowledged + 1]).toContain(row.v);
  });

  it('answers nothing while it is paused, shows what it was asked, and ends sessions', async () => {
    const connection = await mysql.createConnection(server.config());
    connection.on('error', () => {});
    const from = (await server.logText()).length;
    await server.pause();
    expect(processState(server.pid as number)).toBe('T');
    let answered = false;
    const asked = connection.query("select 'paused'").then(() => {
      answered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(answered).toBe(false);
    await server.resume();
    await asked;
    const texts = statementsIn(await server.logText(from)).map(({ text }) => text);
    expect(texts).toEqual(["select 'paused'"]);
    expect(await server.killSessions()).toBe(1);
    await waitFor(async () => (await server.sessions()).length === 0);
    connection.destroy();
  });

  it('is followed by a replica that takes no writes', async () => {
    await using primary = await startMariadb({ settings: { 'server-id': 1, 'log-bin': 'bin' } });
    await using replica = await startMariadb({ settings: { 'server-id': 2 } });
    await replica.follow(primary);
    await primary.admin('create table copied (v int)');
    await waitFor(() => replica.admin('select * from copied').then(() => true), {
      what: 'the replica to have it',
    });
    const connection = await mysql.createConnection(replica.config());
    await expect(connection.query('insert into copied values (1)')).rejects.toMatchObject({
      errno: 1290,
    });
    await connection.end();
  });

  it('is taken, or MYSQL_URL’s server is, which cannot be stopped; and removes what it left', async () => {
    const before = process.env['MYSQL_URL'];
    await server.admin(`create user 'boss'@'%' identified by 'boss'`);
    await server.admin(`grant all privileges on *.* to 'boss'@'%' with grant option`);
    process.env['MYSQL_URL'] = server.url({ user: 'boss' });
    try {
      const taken = await takeMysql();
      if (isSkipped(taken)) throw new Error(taken.skipped);
      expect(taken).toMatchObject({ port: server.port, source: 'url', controllable: false });
      await expect(taken.stop()).rejects.toThrow('unset MYSQL_URL');
      const own = await takeMysql({ own: true });
      if (isSkipped(own)) throw new Error(own.skipped);
      expect(own).toMatchObject({ source: 'system', controllable: true });
      await own.dispose();
      await own.dispose();
      expect(existsSync((own as NativeMariadb).folder)).toBe(false);
    } finally {
      if (before === undefined) delete process.env['MYSQL_URL'];
      else process.env['MYSQL_URL'] = before;
    }
  });
});
