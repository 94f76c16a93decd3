import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { FileLock, type Hold } from '../src/file-lock.js';
import { coded, rejection } from './helpers.js';
import { driven, freshPath, holdUpRename, intercept, until } from './store-bench.js';

const HOUR_MS = 3_600_000;
const LEASE_MS = 5000;

async function bench() {
  const path = await freshPath();
  const clock = new ManualClock();
  const lock = new FileLock(path, LEASE_MS, clock);
  return {
    path,
    clock,
    lock,
    other: new FileLock(path, LEASE_MS, clock),
    folder: `${path}.lock`,
    files: async () => (await readdir(dirname(path))).toSorted(),
    acquire: async (who = lock): Promise<Hold> => {
      const end = await driven(clock, who.acquire(clock.now() + 10 * LEASE_MS));
      if (!end.ok) throw end.error;
      return end.value;
    },
  };
}

/** A lock as a process leaves it that was killed: its file aged by so much. */
async function deadLock(folder: string, token: string, ageMs: number): Promise<void> {
  await mkdir(folder);
  await writeFile(join(folder, token), 'half a fi');
  const at = new Date(Date.now() - ageMs);
  await utimes(join(folder, token), at, at);
}

describe('FileLock', () => {
  it('replaces the file as a whole, for its own user only, and leaves nothing beside it', async () => {
    const { path, files, acquire } = await bench();
    expect(await (await acquire()).publish('first, and longer')).toBe(true);
    expect(await (await acquire()).publish('second')).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('second');
    expect(await files()).toEqual(['breakers.json']);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('lets nobody else in the folder of the lock', async () => {
    const { folder, acquire } = await bench();
    const hold = await acquire();
    const [token] = await readdir(folder);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect((await stat(join(folder, token as string))).mode & 0o777).toBe(0o600);
    await hold.release();
  });

  it.each(['publish', 'release'] as const)('is held by one at a time, until %s', async (way) => {
    const { clock, files, other, acquire } = await bench();
    const first = await acquire();
    let second: Hold | undefined;
    void other.acquire(clock.now() + LEASE_MS).then((hold) => {
      second = hold;
    });
    await until(async () => {
      await clock.advance(25);
      return clock.now() > LEASE_MS / 2;
    });
    expect(second).toBeUndefined();
    await first[way]('x');
    await until(async () => {
      await clock.advance(1);
      return second !== undefined;
    });
    await second?.release();
    expect(await files()).toEqual(way === 'publish' ? ['breakers.json'] : []);
  });

  it('does not wait longer than asked, says so, and leaves neither timer nor litter', async () => {
    const { clock, files, other, acquire } = await bench();
    const hold = await acquire();
    const end = await driven(clock, other.acquire(clock.now() + 1000));
    expect(end).toMatchObject({ ok: false, error: { code: 'OUTLAST_STORE_LOCKED' } });
    expect(clock.now()).toBeGreaterThanOrEqual(1000);
    expect(clock.now()).toBeLessThan(1100);
    expect(clock.pending).toBe(0);
    await hold.release();
    expect(await files()).toEqual([]);
  });

  it('takes a lock over that is older than its lease by the file system, without waiting', async () => {
    const { clock, folder, files, acquire } = await bench();
    await deadLock(folder, 'dead', HOUR_MS);
    const hold = await acquire();
    expect(clock.now()).toBeLessThan(100);
    expect(await readdir(folder)).not.toContain('dead');
    await hold.publish('x');
    expect(await files()).toEqual(['breakers.json']);
  });

  it.each([
    ['just made', 0],
    ['from the future, for clocks jump', -HOUR_MS],
  ])('takes a lock over that was %s when its lease has been waited for', async (_, ageMs) => {
    const { clock, folder, lock, acquire } = await bench();
    await deadLock(folder, 'dead', ageMs);
    const end = await driven(clock, lock.acquire(clock.now() + LEASE_MS / 2));
    expect(end).toMatchObject({ error: { code: 'OUTLAST_STORE_LOCKED' } });
    expect(await readdir(folder)).toEqual(['dead']);
    await acquire();
    // What was waited before counts.
    expect(clock.now()).toBeLessThan(LEASE_MS * 1.1);
    expect(await readdir(folder)).not.toContain('dead');
  });

  it('knows an empty folder for the lock of who was killed after publishing', async () => {
    const { clock, folder, acquire } = await bench();
    await mkdir(folder);
    const hold = await acquire();
    expect(clock.now()).toBe(0);
    expect(await hold.publish('x')).toBe(true);
  });

  it('lets an owner that is too late publish nothing, nor end the lock of the next', async () => {
    const { path, folder, other, acquire } = await bench();
    const late = await acquire();
    const next = await acquire(other);
    const held = await readdir(folder);
    expect(await late.publish('late')).toBe(false);
    await late.release();
    expect(await readdir(folder)).toEqual(held);
    expect(await next.publish('next')).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('next');
  });

  it('lets an owner publish nothing that stood still right before the last step', async () => {
    const { path, other, acquire } = await bench();
    const late = await acquire();
    const step = holdUpRename((_, to) => to === path);
    const published = late.publish('late');
    await step.reached;
    expect(await (await acquire(other)).publish('next')).toBe(true);
    step.letGo();
    expect(await published).toBe(false);
    expect(await readFile(path, 'utf8')).toBe('next');
  });

  it('lets only one go on when two take over at once and one is slow', async () => {
    const { path, clock, folder, lock, other, acquire } = await bench();
    await deadLock(folder, 'dead', HOUR_MS);
    const step = holdUpRename((from, to) => from === folder && to.endsWith('.dead'));
    const slow = driven(clock, lock.acquire(clock.now() + LEASE_MS));
    await step.reached;
    const quick = await acquire(other);
    // What the slow one now moves away is the lock of the quick one.
    step.letGo();
    const end = await slow;
    expect(await quick.publish('quick')).toBe(false);
    await quick.release();
    expect(end.ok && (await end.value.publish('slow'))).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('slow');
  });

  it('goes on when its own preparation was swept away while it waited', async () => {
    const { clock, path, files, other, acquire } = await bench();
    const hold = await acquire();
    const waiting = driven(clock, other.acquire(clock.now() + LEASE_MS / 2));
    await until(async () => (await files()).some((name) => name.startsWith('breakers.json.lock-')));
    for (const name of await files()) {
      if (name.includes('.lock-')) await rm(join(dirname(path), name), { recursive: true });
    }
    await hold.release();
    const end = await waiting;
    expect(end.ok && (await end.value.publish('x'))).toBe(true);
  });

  it('sweeps what the dead left behind: once, what is old, a few at a time', async () => {
    const { path, files, acquire } = await bench();
    const old = new Date(Date.now() - HOUR_MS);
    const make = async (name: string, at: Date): Promise<void> => {
      await mkdir(join(dirname(path), name));
      await writeFile(join(dirname(path), name, 'token'), 'x');
      await utimes(join(dirname(path), name), at, at);
    };
    for (let i = 0; i < 21; i++) await make(`breakers.json.lock-${i}`, old);
    await make('other.json.lock-1', old);
    await (await acquire()).release();
    // One of the twenty may have been our own.
    const left = (await files()).filter((name) => name.startsWith('breakers.json.lock-'));
    expect(left.length).toBeGreaterThanOrEqual(1);
    expect(left.length).toBeLessThanOrEqual(2);
    expect(await files()).toContain('other.json.lock-1');

    for (const name of left) await rm(join(dirname(path), name), { recursive: true });
    await make('breakers.json.lock-late', old);
    await (await acquire()).release();
    expect(await files()).toContain('breakers.json.lock-late');
  });

  it('leaves alone what is young', async () => {
    const { path, files, acquire } = await bench();
    await mkdir(`${path}.lock-waiting`);
    await (await acquire()).release();
    expect(await files()).toEqual(['breakers.json.lock-waiting']);
  });

  it("rejects with the system's error where there is no folder, or no lock can be", async () => {
    const path = await freshPath();
    const clock = new ManualClock();
    const acquire = (at: string) => rejection(new FileLock(at, LEASE_MS, clock).acquire(LEASE_MS));
    await writeFile(path, '');
    await writeFile(`${path}.x.lock`, 'a file');
    expect(await acquire(join(path, '..', 'none', 'x'))).toMatchObject({ code: 'ENOENT' });
    expect(await acquire(join(path, 'x'))).toMatchObject({ code: 'ENOTDIR' });
    expect(await acquire(`${path}.x`)).toMatchObject({ code: 'ENOTDIR' });
    expect(await readdir(dirname(path))).toHaveLength(2);
    expect(clock.pending).toBe(0);
  });

  it('replaces an empty folder also where the system replaces none, as Windows does', async () => {
    const { folder, files, acquire } = await bench();
    await mkdir(folder);
    intercept('rename', (real) => async (from: string, to: string) => {
      if (to === folder && (await files()).includes('breakers.json.lock')) throw coded('EPERM');
      return real(from, to);
    });
    expect(await (await acquire()).publish('x')).toBe(true);
    expect(await files()).toEqual(['breakers.json']);
  });

  it('tries again when a dead lock cannot be moved yet, but not when it cannot be at all', async () => {
    const { clock, folder, lock, acquire } = await bench();
    await deadLock(folder, 'dead', HOUR_MS);
    const codes = ['EIO', 'EBUSY', 'EPERM'];
    intercept('rename', (real) => async (from: string, to: string) => {
      const code = to.endsWith('.dead') ? codes.shift() : undefined;
      if (code !== undefined) throw coded(code);
      return real(from, to);
    });
    const end = await driven(clock, lock.acquire(clock.now() + LEASE_MS));
    expect(end).toMatchObject({ ok: false, error: { code: 'EIO' } });
    await (await acquire()).release();
    expect(codes).toEqual([]);
  });

  it('waits, as long as it may, where the system lets nobody replace the folder', async () => {
    const { clock, files, lock } = await bench();
    let tries = 0;
    intercept('rename', () => async () => {
      tries += 1;
      throw coded('EPERM');
    });
    const end = await driven(clock, lock.acquire(clock.now() + 1000));
    expect(end).toMatchObject({ error: { code: 'OUTLAST_STORE_LOCKED' } });
    expect(tries).toBeGreaterThan(5);
    expect(tries).toBeLessThan(200);
    expect(await files()).toEqual([]);
  });
});
