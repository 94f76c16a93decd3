import { describe, expect, it } from 'vitest';
import { terminateBackends } from '../../../faults/index.js';
import { waitFor } from '../../../servers/index.js';
import { startChild } from '../../support/child.js';
import { openLab } from '../../support/postgres-lab.js';

const lab = await openLab({ own: true });

/** The users' programs, short. Each says when it is ready, and when its connection is lost. */
const PROGRAMS = {
  idle: `
    pool.on('remove', () => console.log('lost'));
    await pool.query('select 1');`,
  held: `
    pool.on('error', (error) => console.error('pool: ' + error.message));
    const client = await pool.connect();
    client.once('end', () => console.log('lost'));`,
  inTransaction: `
    pool.on('error', (error) => console.error('pool: ' + error.message));
    const client = await pool.connect();
    client.once('end', () => console.log('lost'));
    await client.query('begin');
    await client.query('select 1');`,
  querying: `
    pool.on('error', (error) => console.error('pool: ' + error.message));
    pool.query('do $$ begin perform pg_sleep(30); end $$').catch(() => console.log('lost'));
    while (pool.totalCount === 0) await new Promise((next) => setTimeout(next, 5));`,
} as const;

const FAULTS = {
  'restarted in good order': () => lab.server.restart('fast'),
  crashed: () => lab.server.restart('immediate'),
  'told to end the session': () => terminateBackends(lab.server),
  'cut off': () => lab.proxy.cutAll('fin'),
} as const;

/** The same program on the driver's own pool or on ours; asked by a signal, it says whether its pool works. */
function start(module: 'pg' | '@outlast/pg-retry', program: keyof typeof PROGRAMS) {
  const source = `
    import pg from '${module}';
    const pool = new pg.Pool({ connectionString: process.env.URL, max: 2 });
    process.on('SIGUSR2', async () => {
      console.log('again ' + (await pool.query('select 42 as n')).rows[0].n);
      process.exit(0);
    });
    setInterval(() => {}, 1000);
    ${PROGRAMS[program]}
    console.log('ready');`;
  return startChild(source, { URL: lab.server.url({ port: lab.proxy.port }) });
}

describe.skipIf(lab.reason)(`programs that died with their connections ${lab.reason}`, () => {
  lab.use();

  it.each([
    ['idle', 'restarted in good order', 'node-postgres#821, slonik#471'],
    ['held', 'restarted in good order', 'node-postgres#2635'],
    ['inTransaction', 'crashed', 'node-postgres#1324'],
    ['held', 'cut off', 'node-postgres#1611'],
    ['held', 'told to end the session', 'node-postgres#3083'],
  ] as const)('a client that is %s, a server that is %s (%s)', async (program, fault, _) => {
    const [plain, ours] = await Promise.all([
      start('pg', program),
      start('@outlast/pg-retry', program),
    ]);
    for (const child of [plain, ours]) {
      await waitFor(() => child.stdout.includes('ready'), { what: 'a program to be ready' });
    }
    await FAULTS[fault]();
    const died = await plain.end;
    expect(died.code).toBe(1);
    expect(died.stderr).toMatch(/Unhandled 'error' event|Emitted 'error' event/);
    await waitFor(() => ours.stdout.includes('lost'), { what: 'our program to lose its client' });
    process.kill(ours.pid, 'SIGUSR2');
    const { code, stdout } = await ours.end;
    expect([code, stdout.trim().split('\n').at(-1)]).toEqual([0, 'again 42']);
  });

  it.each(['restarted in good order', 'crashed', 'cut off'] as const)(
    'pool.query that is running, a server that is %s (node-postgres#2386)',
    async (fault) => {
      const ours = await start('@outlast/pg-retry', 'querying');
      await waitFor(() => ours.stdout.includes('ready'), { what: 'the program to be ready' });
      await waitFor(async () => (await lab.sessions()).some((one) => one.state === 'active'));
      await FAULTS[fault]();
      await waitFor(() => ours.stdout.includes('lost'), { what: 'our program to hear of it' });
      process.kill(ours.pid, 'SIGUSR2');
      const { code, stdout } = await ours.end;
      expect([code, stdout.trim().split('\n').at(-1)]).toEqual([0, 'again 42']);
      await terminateBackends(lab.server);
    },
  );
});
