import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createConnection,
  isOutcomeUnknown,
  type RowDataPacket,
  retryInfo,
} from '@outlast/mysql-retry';
import callbacks, {
  type Connection,
  type RetryConnectionOptions,
} from '@outlast/mysql-retry/callback';
import plain from 'mysql2/promise';
import { afterAll, describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { makeCertificate } from '../support/certificate.js';
import { failureOf } from '../support/errors.js';
import { openMysqlLab } from '../support/mysql-lab.js';

const lab = await openMysqlLab();

/** What a connection tells by its events, and what a statement on it comes to. */
function watched(connection: Connection) {
  const told: (string | [string, unknown])[] = [];
  connection.on('connect', () => told.push('connect'));
  connection.on('error', (error: unknown) => told.push(['error', error]));
  connection.on('end', () => told.push('end'));
  const ask = (sql: string, values: unknown[] = []): Promise<unknown> =>
    new Promise((resolve, reject) => {
      connection.query(sql, values as never, (error, rows) =>
        error ? reject(error) : resolve(rows),
      );
    });
  return { told, ask, connection };
}

describe.skipIf(lab.reason)(`one connection ${lab.reason}`, () => {
  lab.use();

  const options = (more: RetryConnectionOptions = {}): RetryConnectionOptions => ({
    ...lab.server.config({ port: lab.proxy.port }),
    ...more,
  });
  /** The callback face's, ended after the test. */
  const make = (more?: RetryConnectionOptions) => {
    const connection = callbacks.createConnection(options(more));
    lab.closing({ end: async () => connection.destroy() });
    return watched(connection);
  };

  it('by promise waits out an outage while it connects, and marks its errors', async () => {
    lab.proxy.refuse();
    const connecting = createConnection(options());
    await sleep(200);
    await lab.proxy.accept();
    const connection = lab.closing(await connecting);
    expect(connection).toBeInstanceOf(plain.Connection);
    expect((await connection.query('select 1 as a'))[0]).toEqual([{ a: 1 }]);
    const armed = lab.proxy.arm({ when: { bytes: 'select 2' }, fault: 'cut-before' });
    const error = await failureOf(connection.query('select 2'));
    expect(armed.fired).toBe(1);
    expect(retryInfo(error)).toMatchObject({ outcome: 'unknown', attempts: 1 });
    const later = await failureOf(connection.query('select 3'));
    expect(retryInfo(later)).toMatchObject({ outcome: 'not-applied' });
  });

  it('by promise is asked for once with a wrong password', async () => {
    const error = await failureOf(createConnection(options({ password: 'wrong' })));
    expect(error).toMatchObject({ errno: 1045 });
    expect(lab.proxy.counts.connections).toBe(1);
  });

  it('with callbacks is there at once, waits out an outage, and does then what it was asked, in order', async () => {
    lab.proxy.refuse();
    const { told, ask, connection } = make();
    const called = new Promise((resolve) => connection.connect((error) => resolve(error)));
    const answers = [ask('select 1 as a'), ask('set @a = 5'), ask('select @a as a')];
    await sleep(300);
    expect(told).toEqual([]);
    expect(connection.threadId).toBeNull();
    const late = ask('select ? as a', [7]);
    await lab.proxy.accept();
    const [one, , two] = await Promise.all(answers);
    expect([one, two, await late]).toEqual([[{ a: 1 }], [{ a: 5 }], [{ a: 7 }]]);
    expect(await called).toBeNull();
    expect(told).toEqual(['connect']);
    expect(connection.threadId).toBeGreaterThan(0);
  });

  it.each([
    ['is cut off before its greeting is answered', { requestNumber: 1 }, 'cut-before'],
    ['is cut off when it was let in', { requestNumber: 1 }, 'cut-after'],
  ] as const)('with callbacks tries again when it %s', async (_, when, fault) => {
    const armed = lab.proxy.arm({ when, fault });
    const { told, ask } = make();
    expect(await ask('select 1 as a')).toEqual([{ a: 1 }]);
    expect(armed.fired).toBe(1);
    expect(told).toEqual(['connect']);
  });

  it('with callbacks waits while the server has too many, by its first word and by its second', async () => {
    await lab.server.admin("create user if not exists 'single'@'%' identified by 'single'");
    await lab.server.admin("grant all on app.* to 'single'@'%'");
    await lab.server.admin("alter user 'single'@'%' with max_user_connections 1");
    const user = { user: 'single', password: 'single' };
    const only = await plain.createConnection({ ...lab.server.config(), ...user });
    const { told, ask } = make(user);
    const answer = ask('select 1 as a');
    await waitFor(() => lab.proxy.counts.connections >= 2, { what: 'a second try' });
    await only.end();
    expect(await answer).toEqual([{ a: 1 }]);
    expect(told).toEqual(['connect']);

    await lab.server.admin('set global max_connections = 10');
    // With the one that is open from above.
    const crowd = await Promise.all(Array.from({ length: 9 }, () => lab.session()));
    const before = lab.proxy.counts.connections;
    const crowded = make();
    const late = crowded.ask('select 2 as a');
    await waitFor(() => lab.proxy.counts.connections >= before + 2, { what: 'a second try' });
    await Promise.all(crowd.map((one) => one.end()));
    expect(await late).toEqual([{ a: 2 }]);
    await lab.server.admin('set global max_connections = 60');
    expect(crowded.told).toEqual(['connect']);
  });

  it.each([{ compress: true }, { rowsAsArray: false, multipleStatements: true }])(
    'with callbacks is after an outage what it would have been without: %j',
    async (more) => {
      lab.proxy.refuse();
      const { told, ask, connection } = make(more);
      const big = ask(`select repeat('x', 300000) as a`);
      await sleep(100);
      await lab.proxy.accept();
      expect(await big).toEqual([{ a: 'x'.repeat(300_000) }]);
      const face = connection.promise();
      expect((await face.execute('select ? + 1 as a', [1]))[0]).toEqual([{ a: 2 }]);
      const stream = connection.query('select seq from seq_1_to_2000').stream({ highWaterMark: 5 });
      let rows = 0;
      for await (const _ of stream) {
        rows += 1;
        if (rows % 500 === 0) await sleep(5);
      }
      expect(rows).toBe(2000);
      await face.changeUser({ database: 'app' });
      await face.beginTransaction();
      await face.rollback();
      const failed = await failureOf(ask('selec 1'));
      expect(retryInfo(failed)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
      await face.end();
      await waitFor(() => told.includes('end'), { what: 'its end to be told' });
      expect(told).toEqual(['connect', 'end']);
    },
  );

  it('with callbacks marks what is lost after an outage that it waited out, and ends once', async () => {
    lab.proxy.refuse();
    const { told, ask } = make();
    const first = ask('select 1');
    await sleep(100);
    await lab.proxy.accept();
    await first;
    lab.proxy.arm({ when: { bytes: 'select 2' }, fault: 'cut-after' });
    const [lost, queued] = await Promise.all([
      failureOf(ask('select 2')),
      failureOf(ask('select 3')),
    ]);
    expect(lost).toMatchObject({ code: 'ECONNRESET', fatal: true });
    expect([isOutcomeUnknown(lost), isOutcomeUnknown(queued)]).toEqual([true, false]);
    const later = await failureOf(ask('select 4'));
    expect(later.message).toContain("Can't add new command");
    expect(told.filter((one) => one === 'connect')).toHaveLength(1);
  });

  it('with callbacks fails once patience is over: its event, its callback, and all that it was asked', async () => {
    lab.proxy.refuse();
    const { ask, connection } = make({ retry: { waitMs: 300 } });
    const asked = await failureOf(ask('select 1'));
    expect(asked).toMatchObject({ code: 'ECONNREFUSED', port: lab.proxy.port });
    expect(retryInfo(asked)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
    expect(await failureOf(ask('select 2'))).toMatchObject({ fatal: true });
    const idle = make({ retry: { waitMs: 100 } });
    const called = new Promise((resolve) => idle.connection.connect((error) => resolve(error)));
    const error = await new Promise((resolve) => idle.connection.on('error', resolve));
    expect(await called).toBe(error);
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    expect(retryInfo(error)).toMatchObject({ operation: 'mysql.connect', reason: 'exhausted' });
    connection.destroy();
  });

  it('with callbacks dials once, and says why, where there is no second try', async () => {
    const { connection } = make({ password: 'wrong' });
    const error = await new Promise((resolve) => connection.on('error', resolve));
    expect(error).toMatchObject({ errno: 1045 });
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    expect(lab.proxy.counts.connections).toBe(1);
    lab.proxy.refuse();
    const hasty = make({ retry: { maxAttempts: 1 } });
    const refused = await failureOf(hasty.ask('select 1'));
    expect(refused).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('with callbacks hears that it may not come in, after an outage too', async () => {
    lab.proxy.refuse();
    const { connection } = make({ password: 'wrong' });
    const told = new Promise((resolve) => connection.on('error', resolve));
    await sleep(100);
    await lab.proxy.accept();
    const error = await told;
    expect(error).toMatchObject({ errno: 1045 });
    expect(retryInfo(error)?.reason).toBe('permanent');
  });

  it.each(['destroy', 'end'] as const)(
    'with callbacks waits no more when it is given up in an outage (%s)',
    async (how) => {
      lab.proxy.refuse();
      const given = make();
      await sleep(100);
      if (how === 'destroy') {
        const asked = failureOf(given.ask('select 1'));
        given.connection.destroy();
        expect(await asked).toMatchObject({ code: 'ECONNREFUSED' });
      } else {
        const ended = new Promise((resolve) => given.connection.end((error) => resolve(error)));
        expect(await ended).toMatchObject({ code: 'ECONNREFUSED' });
      }
      await lab.proxy.accept();
      await sleep(300);
      expect(lab.proxy.counts.connections).toBe(0);
    },
  );

  it('by a wire that the caller has laid is made once', async () => {
    lab.proxy.refuse();
    const stream = connect(lab.proxy.port, '127.0.0.1');
    const { connection } = make({ stream });
    const error = await new Promise((resolve) => connection.on('error', resolve));
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  });
});

// Readable by whom the server runs as.
const folder = mkdtempSync(join(tmpdir(), 'outlast-mysql-tls-'));
chmodSync(folder, 0o755);
const certificate = await makeCertificate('127.0.0.1');
for (const [name, text] of Object.entries(certificate)) writeFileSync(join(folder, name), text);
const secure = await openMysqlLab({
  settings: { 'ssl-cert': join(folder, 'cert'), 'ssl-key': join(folder, 'key') },
});

describe.skipIf(secure.reason)(`one connection, and a pool, by TLS ${secure.reason}`, () => {
  secure.use();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const options = () => ({
    ...secure.server.config({ port: secure.proxy.port }),
    ssl: { ca: certificate.cert },
  });
  const cipher = 'show session status like "Ssl_cipher"';

  it.each([
    ['a cut before the server says hello in it', 1],
    ['a cut before it says who it is', 2],
  ])('wait out %s, which is no bad certificate', async (_, requestNumber) => {
    const pool = secure.pool({ ssl: { ca: certificate.cert } });
    for (const make of [
      () => pool.query<RowDataPacket[]>(cipher),
      async () => secure.closing(await createConnection(options())).query<RowDataPacket[]>(cipher),
      () => {
        const connection = callbacks.createConnection(options());
        secure.closing({ end: async () => connection.destroy() });
        return connection.promise().query<RowDataPacket[]>(cipher);
      },
    ]) {
      const cut = secure.proxy.arm({ when: { requestNumber }, fault: 'cut-before' });
      const [[row]] = await make();
      expect(cut.fired).toBe(1);
      expect(row?.['Value']).not.toBe('');
    }
  });

  it('are refused at once where the certificate is not the one that is trusted', async () => {
    const strict = { ...options(), ssl: {} };
    const error = await failureOf(createConnection(strict));
    expect(error).toMatchObject({ code: 'HANDSHAKE_SSL_ERROR' });
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    expect(secure.proxy.counts.connections).toBe(1);
  });
});
