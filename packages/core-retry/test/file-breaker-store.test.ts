import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  FileBreakerStore,
  type FileBreakerStoreOptions,
  isClosedError,
  isOptionError,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { coded, rejection, turn } from './helpers.js';
import { driven, freshPath, holdUpRename, intercept, snapshot, until } from './store-bench.js';

const LEASE_MS = 1000;

async function bench(options: Partial<FileBreakerStoreOptions> = {}) {
  const path = await freshPath();
  const clock = new ManualClock();
  const make = () => new FileBreakerStore({ path, clock, lockLeaseMs: LEASE_MS, ...options });
  return {
    path,
    clock,
    make,
    store: make(),
    held: async () => JSON.parse(await readFile(path, 'utf8')).breakers,
    files: async () => (await readdir(dirname(path))).toSorted(),
  };
}

/** Counts what replaces the file, and what opens it for reading. */
function counted(path: string): { writes: number; reads: number } {
  const count = { writes: 0, reads: 0 };
  intercept('rename', (real) => (from: string, to: string) => {
    if (to === path) count.writes += 1;
    return real(from, to);
  });
  intercept('open', (real) => (file: string, ...rest: []) => {
    if (file === path) count.reads += 1;
    return real(file, ...rest);
  });
  return count;
}

describe('FileBreakerStore keeps', () => {
  it('3.36 a snapshot, for itself and for the next process', async () => {
    const { path, store, make, files } = await bench();
    expect(await store.load('pg')).toBeUndefined();
    const open = snapshot({ state: 'open', failures: 5, trips: 2, openUntil: 9, lastFailureAt: 8 });
    await store.save('pg', open);
    expect(await store.load('pg')).toEqual(open);
    expect(await make().load('pg')).toEqual(open);
    expect(await store.load('other')).toBeUndefined();
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      version: 1,
      breakers: { pg: { snapshot: open } },
    });
    expect(await files()).toEqual([basename(path)]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['__proto__', '__proto__'],
    ['constructor', 'constructor'],
    ['an empty one', ''],
    ['a number', '7'],
    ['unicode', 'Zürich:\u{1f4a5}:\n:"\\'],
    ['half a character', '\ud83d'],
    ['a very long one', 'k'.repeat(1_000_000)],
  ])('any key: %s', async (_, key) => {
    const { store, make } = await bench();
    expect(await store.load(key)).toBeUndefined();
    await store.save(key, snapshot({ failures: 3 }));
    await make().save('other', snapshot());
    const loaded = await make().load(key);
    expect(loaded).toEqual(snapshot({ failures: 3 }));
  });

  it('the keys of all who share the file', async () => {
    const { path, clock, held } = await bench();
    const stores = Array.from({ length: 8 }, () => new FileBreakerStore({ path, clock }));
    const saves = stores.map((store, i) => store.save(`key ${i}`, snapshot({ failures: i })));
    expect((await driven(clock, Promise.all(saves))).ok).toBe(true);
    expect(Object.keys(await held())).toHaveLength(8);
    expect(await stores[0]?.load('key 7')).toEqual(snapshot({ failures: 7 }));
  });

  it('what another published while its own lock was lost', async () => {
    const { path, clock, store, make, held } = await bench();
    const step = holdUpRename((_, to) => to === path);
    const late = store.save('late', snapshot());
    await step.reached;
    expect((await driven(clock, make().save('next', snapshot()))).ok).toBe(true);
    step.letGo();
    expect((await driven(clock, late)).ok).toBe(true);
    expect(Object.keys(await held()).toSorted()).toEqual(['late', 'next']);
  });

  it('fields that it does not know', async () => {
    const { path, store, held } = await bench();
    const other = { snapshot: { ...snapshot(), more: 1 }, note: 'x' };
    await writeFile(path, JSON.stringify({ version: 1, breakers: { a: other, b: other } }));
    await store.save('b', snapshot({ failures: 1 }));
    expect(await held()).toEqual({
      a: other,
      b: { snapshot: snapshot({ failures: 1 }), note: 'x' },
    });
  });
});

describe('FileBreakerStore writes', () => {
  it('once for all that is saved in one turn, the latest of each key', async () => {
    const { path, store, held } = await bench();
    const count = counted(path);
    const saves = Array.from({ length: 1000 }, (_, i) =>
      store.save(`key ${i % 100}`, snapshot({ failures: i })),
    );
    await Promise.all(saves);
    expect(count.writes).toBe(1);
    expect((await held())['key 99']).toEqual({ snapshot: snapshot({ failures: 999 }) });
    expect(Object.keys(await held())).toHaveLength(100);
  });

  it('one at a time; what is saved meanwhile goes together into the next', async () => {
    const { path, store, held } = await bench();
    const step = holdUpRename((_, to) => to === path);
    const first = store.save('a', snapshot({ failures: 1 }));
    await step.reached;
    const rest = [2, 3, 4].map((failures) => store.save('a', snapshot({ failures })));
    const other = store.save('b', snapshot());
    const count = counted(path);
    step.letGo();
    await first;
    expect((await held()).a.snapshot.failures).toBe(1);
    await Promise.all([...rest, other]);
    expect(count.writes).toBe(1);
    expect(await held()).toEqual({
      a: { snapshot: snapshot({ failures: 4 }) },
      b: { snapshot: snapshot() },
    });
  });

  it('in order, also what is saved while one takes for ever', async () => {
    const { path, clock, store, held } = await bench();
    const step = holdUpRename((_, to) => to === path);
    const first = store.save('a', snapshot({ failures: 1 }));
    await step.reached;
    const second = store.save('a', snapshot({ failures: 2 }));
    // Longer than a lease: nobody may take the lock over from himself.
    let rounds = 0;
    await until(async () => {
      await clock.advance(LEASE_MS / 5);
      rounds += 1;
      return rounds > 50;
    });
    step.letGo();
    expect((await driven(clock, Promise.all([first, second]))).ok).toBe(true);
    expect((await held()).a.snapshot.failures).toBe(2);
  });

  it('what comes while it waits for the lock in that same write', async () => {
    const { path, clock, store } = await bench();
    await mkdir(`${path}.lock`);
    await writeFile(join(`${path}.lock`, 'dead'), 'x');
    const count = counted(path);
    const early = store.save('a', snapshot());
    while (clock.pending === 0) await turn();
    const late = store.save('b', snapshot());
    expect((await driven(clock, Promise.all([early, late]))).ok).toBe(true);
    expect(count.writes).toBe(1);
  });

  it('on after a write that failed, which rejects for those alone who were in it', async () => {
    const { path, store, held } = await bench();
    const folder = dirname(path);
    await rm(folder, { recursive: true });
    const both = await Promise.allSettled([
      store.save('a', snapshot()),
      store.claimProbe('b', 1000),
    ]);
    expect(both).toMatchObject([{ reason: { code: 'ENOENT' } }, { reason: { code: 'ENOENT' } }]);
    await mkdir(folder);
    await store.save('c', snapshot());
    expect(Object.keys(await held())).toEqual(['c']);
  });

  it.each(['ENOSPC', 'EROFS', 'EDQUOT', 'EIO'])(
    'nothing when the disk says %s: it rejects with that',
    async (code) => {
      const { path, store, files, held } = await bench();
      await store.save('a', snapshot());
      let full = true;
      intercept('open', (real) => async (file: string, ...rest: []) => {
        const handle = await real(file, ...rest);
        if (!full || file === path) return handle;
        handle.sync = () => Promise.reject(coded(code));
        return handle;
      });
      expect(await rejection(store.save('a', snapshot({ failures: 9 })))).toMatchObject({ code });
      expect(await held()).toEqual({ a: { snapshot: snapshot() } });
      expect(await files()).toEqual([basename(path)]);
      full = false;
      await store.save('b', snapshot());
      expect(Object.keys(await held())).toEqual(['a', 'b']);
    },
  );

  it('not for longer than lockWaitMs', async () => {
    const { path, clock, make } = await bench();
    await mkdir(`${path}.lock`);
    await writeFile(join(`${path}.lock`, 'alive'), 'x');
    const store = new FileBreakerStore({ path, clock, lockLeaseMs: 1e6, lockWaitMs: 300 });
    const end = await driven(clock, store.save('a', snapshot()));
    expect(end).toMatchObject({ ok: false, error: { code: 'OUTLAST_STORE_LOCKED' } });
    expect(clock.now()).toBeLessThan(400);
    expect(clock.pending).toBe(0);
    expect(await make().load('a')).toBeUndefined();
  });

  it('not again and again when it loses the lock each time', async () => {
    const { path, store, files } = await bench();
    let tries = 0;
    intercept('rename', (real) => async (from: string, to: string) => {
      if (to !== path) return real(from, to);
      tries += 1;
      throw coded('ENOENT');
    });
    const error = await rejection(store.save('a', snapshot()));
    expect(error).toMatchObject({ code: 'OUTLAST_STORE_LOCKED' });
    expect((error as Error).message).toContain('took its lock over 5 times after lockLeaseMs');
    expect(tries).toBe(5);
    expect(await files()).toEqual([]);
  });

  it('no snapshot that it could not read', async () => {
    const { store, files } = await bench();
    const error = await rejection(store.save('a', snapshot({ failures: Number.NaN })));
    expect(isOptionError(error)).toBe(true);
    expect((error as Error).message).toBe('snapshot cannot be saved: its failures are number.');
    expect(await files()).toEqual([]);
  });
});

describe('FileBreakerStore reads', () => {
  it('once for ten thousand that load at the start, and again only what was replaced', async () => {
    const { path, store, make } = await bench();
    await store.save('key 1', snapshot({ failures: 1 }));
    const reader = make();
    const count = counted(path);
    const keys = Array.from({ length: 10_000 }, (_, i) => `key ${i}`);
    const all = await Promise.all(keys.map((key) => reader.load(key)));
    expect(all.filter((found) => found !== undefined)).toEqual([snapshot({ failures: 1 })]);
    for (let i = 0; i < 20; i++) await reader.load('key 1');
    expect(count.reads).toBe(1);

    await make().save('key 1', snapshot({ failures: 2 }));
    count.reads = 0;
    expect(await reader.load('key 1')).toEqual(snapshot({ failures: 2 }));
    await reader.load('key 1');
    expect(count.reads).toBe(1);
  });

  it('again what is so young that its stamp may not tell it from the next', async () => {
    const path = await freshPath();
    const text = (failures: number): string =>
      JSON.stringify({ version: 1, breakers: { a: { snapshot: snapshot({ failures }) } } });
    const at = new Date();
    await writeFile(path, text(1));
    await utimes(path, at, at);
    const young = new FileBreakerStore({ path, clock: new ManualClock(0, at.getTime() + 5) });
    const old = new FileBreakerStore({ path, clock: new ManualClock(0, at.getTime() + 5000) });
    for (const store of [young, old]) expect((await store.load('a'))?.failures).toBe(1);
    await writeFile(path, text(2));
    await utimes(path, at, at);
    expect((await young.load('a'))?.failures).toBe(2);
    expect((await old.load('a'))?.failures).toBe(1);
  });

  it('what it has saved, though it had begun to look before', async () => {
    const { path, store } = await bench();
    await store.save('a', snapshot());
    let letGo = (): void => {};
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let first = true;
    intercept('open', (real) => async (file: string, ...rest: []) => {
      const handle = await real(file, ...rest);
      if (file === path && first) {
        first = false;
        await gate;
      }
      return handle;
    });
    const early = store.load('a');
    await store.save('a', snapshot({ failures: 7 }));
    const late = store.load('a');
    expect(await late).toEqual(snapshot({ failures: 7 }));
    letGo();
    expect(await early).toEqual(snapshot());
    expect(await store.load('a')).toEqual(snapshot({ failures: 7 }));
  });

  it('a missing folder like a missing file, and rejects with the error for any other', async () => {
    const path = await freshPath();
    const load = (at: string) => new FileBreakerStore({ path: at }).load('a');
    expect(await load(join(dirname(path), 'none', 'x'))).toBeUndefined();
    expect(await rejection(load(dirname(path)))).toMatchObject({ code: 'EISDIR' });

    await writeFile(path, 'x');
    expect(await rejection(load(join(path, 'x')))).toMatchObject({ code: 'ENOTDIR' });
    await new FileBreakerStore({ path }).save('a', snapshot());
    const store = new FileBreakerStore({ path, clock: new ManualClock() });
    expect(Object.isFrozen(await store.load('a'))).toBe(true);
    intercept('stat', () => () => Promise.reject(coded('EIO')));
    expect(await rejection(store.load('a'))).toMatchObject({ code: 'EIO' });
  });
});

describe('FileBreakerStore', () => {
  it.each<[string, object]>([
    ['path', {}],
    ['path', { path: '' }],
    ['path', { path: 5 }],
    ['lockLeaseMs', { path: 'x', lockLeaseMs: 0 }],
    ['lockWaitMs', { path: 'x', lockWaitMs: Number.NaN }],
    ['lockWaitMs', { path: 'x', lockWaitMs: Infinity }],
    ['lockwait', { path: 'x', lockwait: 5 }],
  ])('refuses a wrong %s: %o', async (option, options) => {
    const make = () => new FileBreakerStore(options as FileBreakerStoreOptions);
    expect(await rejection(Promise.resolve().then(make))).toMatchObject({
      code: 'OUTLAST_OPTION',
      option: `FileBreakerStore.${option}`,
    });
  });

  it('writes what it was given before it is closed, and nothing after', async () => {
    const { store, held } = await bench();
    const saves = [store.save('a', snapshot()), store.save('b', snapshot())];
    await store.close();
    expect(Object.keys(await held())).toEqual(['a', 'b']);
    await Promise.all(saves);
    for (const late of [
      store.save('c', snapshot()),
      store.load('a'),
      store.claimProbe('a', 1000),
    ]) {
      expect(isClosedError(await rejection(late))).toBe(true);
    }
    await store.close();
    expect(Object.keys(await held())).toEqual(['a', 'b']);
  });

  it('does not reject on close, though the last write failed', async () => {
    const { path, store } = await bench();
    await rm(dirname(path), { recursive: true });
    const save = rejection(store.save('a', snapshot()));
    await store.close();
    expect(await save).toMatchObject({ code: 'ENOENT' });
  });
});
