import connectPgSimple from 'connect-pg-simple';
import session, { type SessionData } from 'express-session';
import { describe, expect, it } from 'vitest';
import { idsIn, op, outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`connect-pg-simple ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on pool.query: nobody’s session is missing', async () => {
    await lab.server.admin(
      `create table session (sid text primary key, sess json not null, expire timestamp(6) not null)`,
    );
    await lab.server.admin('alter table session owner to app');
    const Store = connectPgSimple(session);
    const store = new Store({ pool: lab.pool({ max: 5 }), pruneSessionInterval: false });
    const data = (more: object = {}, maxAge = 60_000): SessionData =>
      ({
        cookie: { originalMaxAge: maxAge, maxAge, expires: new Date(Date.now() + maxAge) },
        ...more,
      }) as never;
    /** Its methods take callbacks. */
    const call = <T>(run: (done: (error?: unknown, value?: T) => void) => void): Promise<T> =>
      new Promise((resolve, reject) => {
        run((error, value) => (error ? reject(error) : resolve(value as T)));
      });
    const set = (sid: string, what = data()): Promise<void> =>
      call((done) => store.set(sid, what, done));
    const get = (sid: string): Promise<unknown> => call((done) => store.get(sid, done as never));
    const touch = (sid: string, what = data()): Promise<void> =>
      call((done) => store.touch(sid, what, done));
    const destroy = (sid: string): Promise<void> => call((done) => store.destroy(sid, done));
    const kinds: Record<string, SessionData> = {
      plain: data({ user: 1 }),
      nested: data({ user: { name: 'x', roles: ['a', 'b'] } }),
      long: data({ text: 'x'.repeat(5000) }),
      foreign: data({ text: 'ünï ☃ \u2028' }),
      quoted: data({ text: `'; drop table session; -- "` }),
      'short-lived': data({}, 30_000),
      'long-lived': data({}, 86_400_000),
      numbers: data({ n: [0, -1, 1.5, 1e21] }),
    };
    for (const [kind, what] of Object.entries(kinds)) await set(`fix ${kind}`, what);
    await outlast(
      lab,
      'connect-pg-simple',
      [
        ...Object.keys(kinds).map((kind) =>
          op('read', `get ${kind}`, async () => expect(await get(`fix ${kind}`)).toBeTruthy()),
        ),
        op('read', 'get that is not there', async () => expect(await get('none')).toBeFalsy()),
        ...Object.entries(kinds).map(([kind, what]) =>
          op('insert', `set ${kind}`, (id) => set(id, what)),
        ),
        ...Object.entries(kinds).map(([kind, what]) =>
          op('other', `touch ${kind}`, () => touch(`fix ${kind}`, what)),
        ),
        op('other', 'touch that is not there', () => touch('none')),
        op('other', 'set again', () => set('fix plain', kinds['plain'])),
        op('other', 'set and destroy', async (id) => {
          await set(`gone ${id}`);
          await destroy(`gone ${id}`);
        }),
        op('other', 'destroy that is not there', () => destroy('none')),
        op('other', 'set, touch and get', async () => {
          await set('fix long', kinds['long']);
          await touch('fix long');
          expect(await get('fix long')).toMatchObject({ text: 'x'.repeat(5000) });
        }),
        op('other', 'prune', () => call((done) => store.pruneSessions(done as never))),
      ],
      { present: () => idsIn(lab, 'select sid from session') },
    );
    await store.close();
  });
});
