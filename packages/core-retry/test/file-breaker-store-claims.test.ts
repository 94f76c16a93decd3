import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { FileBreakerStore, isOptionError, isOutlastError } from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { rejection } from './helpers.js';
import { driven, freshPath, holdUpRename, snapshot } from './store-bench.js';

const OPEN = snapshot({ state: 'open', failures: 5, trips: 1, openUntil: 10 });
const CLOSED = snapshot({ savedAt: 2 });
const LEASE_MS = 1000;

async function bench() {
  const path = await freshPath();
  const clock = new ManualClock();
  return {
    path,
    clock,
    one: new FileBreakerStore({ path, clock }),
    other: new FileBreakerStore({ path, clock }),
  };
}

describe('claimProbe()', () => {
  it('grants one of all who ask, until its verdict is kept', async () => {
    const { one, other } = await bench();
    await one.save('pg', OPEN);
    const [first, same, again] = await Promise.all([
      one.claimProbe('pg', LEASE_MS),
      one.claimProbe('pg', LEASE_MS),
      one.claimProbe('redis', LEASE_MS),
    ]);
    expect(first).toEqual({ granted: true, fence: expect.any(String), snapshot: OPEN });
    expect(same).toEqual({ granted: false, snapshot: OPEN });
    expect(again).toEqual({ granted: true, fence: expect.any(String) });
    expect(again.fence).not.toBe(first.fence);
    expect(await other.claimProbe('pg', LEASE_MS)).toEqual({ granted: false, snapshot: OPEN });

    await one.save('pg', CLOSED, first.fence);
    const next = await other.claimProbe('pg', LEASE_MS);
    expect(next).toEqual({ granted: true, fence: expect.any(String), snapshot: CLOSED });
    expect(next.fence).not.toBe(first.fence);
  });

  it('grants the next when the lease is over, and not before', async () => {
    const { clock, one, other } = await bench();
    await one.claimProbe('pg', LEASE_MS);
    await clock.advance(LEASE_MS - 1);
    expect((await other.claimProbe('pg', LEASE_MS)).granted).toBe(false);
    await clock.advance(1);
    expect((await other.claimProbe('pg', LEASE_MS)).granted).toBe(true);
  });

  it('3.35 counts the lease anew, once, where the time of day was set back', async () => {
    const { path, one } = await bench();
    await one.claimProbe('pg', LEASE_MS);
    const clock = new ManualClock(0, Date.UTC(2025, 0, 1));
    const later = new FileBreakerStore({ path, clock });
    expect((await later.claimProbe('pg', 5 * LEASE_MS)).granted).toBe(false);
    await clock.advance(LEASE_MS - 1);
    expect((await later.claimProbe('pg', LEASE_MS)).granted).toBe(false);
    await clock.advance(1);
    expect((await later.claimProbe('pg', LEASE_MS)).granted).toBe(true);
  });

  it.each([
    ['no object', 5],
    ['no fence', { until: 1e15, leaseMs: 1000 }],
    ['no time', { fence: 'x', until: null, leaseMs: 1000 }],
    ['no lease', { fence: 'x', until: 1e15 }],
  ])('does not heed a probe of the file that has %s', async (_, probe) => {
    const { path, one } = await bench();
    await writeFile(path, JSON.stringify({ version: 1, breakers: { pg: { probe } } }));
    expect((await one.claimProbe('pg', LEASE_MS)).granted).toBe(true);
  });

  it('grants under a snapshot that cannot be read', async () => {
    const { path, one } = await bench();
    await writeFile(path, JSON.stringify({ version: 1, breakers: { pg: { snapshot: 99 } } }));
    expect(await one.claimProbe('pg', LEASE_MS)).toEqual({
      granted: true,
      fence: expect.any(String),
    });
  });

  it('writes nothing when it grants nothing', async () => {
    const { path, one, other } = await bench();
    await one.claimProbe('pg', LEASE_MS);
    const before = await stat(path);
    await other.claimProbe('pg', LEASE_MS);
    expect((await stat(path)).ino).toBe(before.ino);
    expect(await readdir(dirname(path))).toEqual([basename(path)]);
  });

  it('grants nothing on a lock that was lost before it was written down', async () => {
    const { path, clock, one, other } = await bench();
    const step = holdUpRename((_, to) => to === path);
    const late = one.claimProbe('pg', 1e6);
    await step.reached;
    const next = await driven(clock, other.claimProbe('pg', 1e6));
    step.letGo();
    expect(next).toMatchObject({ ok: true, value: { granted: true } });
    expect(await driven(clock, late)).toMatchObject({ ok: true, value: { granted: false } });
  });

  it.each([0, -1, Number.NaN, Infinity])('refuses a lease of %d ms', async (leaseMs) => {
    const { one } = await bench();
    expect(isOptionError(await rejection(one.claimProbe('pg', leaseMs)))).toBe(true);
  });
});

describe('save() with a fence', () => {
  it('keeps nothing if another probe was granted since, also when that is decided', async () => {
    const { clock, one, other } = await bench();
    const late = await one.claimProbe('pg', LEASE_MS);
    await clock.advance(LEASE_MS);
    const next = await other.claimProbe('pg', LEASE_MS);
    await one.save('pg', OPEN, late.fence);
    expect(await one.load('pg')).toBeUndefined();
    await other.save('pg', CLOSED, next.fence);
    await one.save('pg', OPEN, late.fence);
    expect(await one.load('pg')).toEqual(CLOSED);
  });

  it('keeps a verdict that is late, if nobody else was granted one', async () => {
    const { clock, one, other } = await bench();
    const late = await one.claimProbe('pg', LEASE_MS);
    await clock.advance(10 * LEASE_MS);
    await one.save('pg', CLOSED, late.fence);
    expect(await other.load('pg')).toEqual(CLOSED);
  });

  it('keeps it where no probe is known, for the file may have been removed', async () => {
    const { one } = await bench();
    await one.save('pg', CLOSED, 'unknown');
    expect(await one.load('pg')).toEqual(CLOSED);
  });

  it('leaves what was saved without one in the same turn', async () => {
    const { one } = await bench();
    await one.claimProbe('pg', LEASE_MS);
    await Promise.all([one.save('pg', OPEN), one.save('pg', CLOSED, 'stale')]);
    expect(await one.load('pg')).toEqual(OPEN);
    await Promise.all([one.save('pg', OPEN, 'stale'), one.save('pg', CLOSED)]);
    expect(await one.load('pg')).toEqual(CLOSED);
  });

  it('without one always keeps it, and does not end the probe', async () => {
    const { one, other } = await bench();
    const probe = await one.claimProbe('pg', LEASE_MS);
    await other.save('pg', OPEN);
    expect(await one.load('pg')).toEqual(OPEN);
    expect((await other.claimProbe('pg', LEASE_MS)).granted).toBe(false);
    await one.save('pg', CLOSED, probe.fence);
    expect(await other.load('pg')).toEqual(CLOSED);
  });
});

const SECRET = 'canary-secret';

describe('3.36 a file that cannot be used', () => {
  it.each([
    ['it is empty', ''],
    ['it is not JSON', `{"version":1,"breakers":{"${SECRET}`],
    ['it is not JSON', '\0\0\0\0'],
    ['it does not hold an object', `["${SECRET}"]`],
    ['it does not hold an object', 'null'],
    ['its version is not 1', `{"version":"${SECRET}","breakers":{}}`],
    ['its version is not 1', '{"breakers":{}}'],
    ['it holds no breakers', '{"version":1,"breakers":[]}'],
  ])('says so (%s), and is kept aside by the save that heals it', async (wrong, text) => {
    const { path, one, other } = await bench();
    await writeFile(path, text);
    await chmod(path, 0o644);
    for (let i = 0; i < 2; i++) {
      const error = (await rejection(one.load('pg'))) as Error;
      expect(isOutlastError(error) && error.code).toBe('OUTLAST_STORE_CORRUPT');
      expect(error.message).toContain(wrong);
      expect(error.message).not.toContain(SECRET);
      expect(error.message).not.toContain(dirname(path));
    }
    await one.save('pg', CLOSED);
    expect(await one.load('pg')).toEqual(CLOSED);
    expect(await other.load('pg')).toEqual(CLOSED);
    expect(await readFile(`${path}.corrupt`, 'utf8')).toBe(text);
    for (const file of [path, `${path}.corrupt`]) {
      expect((await stat(file)).mode & 0o777).toBe(0o600);
    }
  });

  it('is kept in one copy only, of the newest', async () => {
    const { path, one } = await bench();
    for (const text of ['first', 'second']) {
      await writeFile(path, text);
      await one.save('pg', CLOSED);
    }
    expect(await readFile(`${path}.corrupt`, 'utf8')).toBe('second');
    const name = basename(path);
    expect((await readdir(dirname(path))).toSorted()).toEqual([name, `${name}.corrupt`]);
  });

  it.each([
    ['it is not an object', 99],
    ['it is not an object', null],
    ['its version is number, not 1', { ...OPEN, version: 2 }],
    ['its state is half-open', { ...OPEN, state: 'half-open' }],
    ['its failures are number', { ...OPEN, failures: -1 }],
    ['its times are not numbers of milliseconds', { ...OPEN, openUntil: null }],
  ])('holds one bad snapshot (%s), which spoils no other', async (wrong, bad) => {
    const { path, one } = await bench();
    const text = JSON.stringify({
      version: 1,
      breakers: { bad: { snapshot: bad }, good: { snapshot: OPEN } },
    });
    await writeFile(path, text);
    expect(await one.load('good')).toEqual(OPEN);
    const error = (await rejection(one.load('bad'))) as Error;
    expect(isOutlastError(error) && error.code).toBe('OUTLAST_STORE_CORRUPT');
    expect(error.message).toContain(wrong);
    await one.save('good', CLOSED);
    expect(await rejection(one.load('bad'))).toMatchObject({ message: error.message });
    await one.save('bad', CLOSED);
    expect(await one.load('bad')).toEqual(CLOSED);
  });

  it('holds an entry that is none', async () => {
    const { path, one } = await bench();
    await writeFile(path, JSON.stringify({ version: 1, breakers: { bad: 5, none: {} } }));
    expect(await one.load('none')).toBeUndefined();
    expect(await rejection(one.load('bad'))).toMatchObject({ code: 'OUTLAST_STORE_CORRUPT' });
    await one.save('bad', CLOSED);
    expect(await one.load('bad')).toEqual(CLOSED);
  });
});
