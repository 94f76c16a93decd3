import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@outlast/core-retry/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LEASE_MS, RENEW_MS, takeLock } from '../src/cache-lock.js';
import { ownerText } from '../src/cache-owner.js';

const never = async (): Promise<undefined> => undefined;

function take(clock: ManualClock, signal?: AbortSignal) {
  return takeLock(locks, 'k', { clock, signal, found: never }).then(({ lock }) => lock);
}

let locks: string;

beforeEach(async () => {
  locks = await mkdtemp(join(tmpdir(), 'outlast-lock-'));
});
afterEach(() => rm(locks, { recursive: true, force: true }));

/** Somebody's lock. */
async function lockOf(owner: string): Promise<string> {
  await mkdir(join(locks, 'k'));
  const file = join(locks, 'k', 'theirs');
  await writeFile(file, owner);
  return file;
}

/** Lets what waits look again and again, until it is done or so much time has passed. */
async function pass(
  clock: ManualClock,
  ms: number,
  done: () => boolean,
  timers = 1,
): Promise<number> {
  let passed = 0;
  for (; passed < ms; passed += 500) {
    // The look itself is on the real file system: it is over when all wait for their timers.
    while (!done() && clock.pending < timers)
      await new Promise((resolve) => setTimeout(resolve, 1));
    if (done()) break;
    await clock.advance(500);
  }
  return passed;
}

describe('the lock', () => {
  it('is held by one, and by the next when it is given back', async () => {
    const clock = new ManualClock();
    const first = await take(clock);
    let second: Awaited<ReturnType<typeof take>>;
    const waiting = take(clock).then((lock) => {
      second = lock;
    });
    await pass(clock, 1_000, () => second !== undefined, 2);
    expect(second).toBe(undefined);
    await first?.release();
    await pass(clock, 1_000, () => second !== undefined);
    await waiting;
    expect(second?.token).not.toBe(first?.token);
    await second?.release();
    expect(await readdir(locks)).toEqual([]);
  });

  it('is renewed, so that a slow owner keeps it for as long as it lives', async () => {
    const clock = new ManualClock();
    const first = await take(clock);
    let taken = false;
    const controller = new AbortController();
    const waiting = take(clock, controller.signal).then(
      () => {
        taken = true;
      },
      () => {},
    );
    expect(await pass(clock, 2 * LEASE_MS, () => taken, 2)).toBe(2 * LEASE_MS);
    expect(taken).toBe(false);
    controller.abort();
    await waiting;
    await first?.release();
    expect(await readdir(locks)).toEqual([]);
  });

  it('of a dead process of this machine is taken at once', async () => {
    const machine = (JSON.parse(ownerText()) as { machine: string }).machine;
    await lockOf(JSON.stringify({ pid: 2 ** 22 + 1, machine }));
    const clock = new ManualClock();
    const lock = await take(clock);
    expect(clock.now()).toBe(new ManualClock().now());
    await lock?.release();
  });

  it.each([
    ['of another machine', JSON.stringify({ pid: 1, machine: 'elsewhere' })],
    [
      'with the same host name and another start',
      JSON.stringify({ pid: 2 ** 22 + 1, machine: hostname() }),
    ],
    ['of a process that lives and says nothing', ownerText()],
    ['that cannot be read', '{'],
  ])('%s is taken after its lease, and not before', async (_, owner) => {
    await lockOf(owner);
    const clock = new ManualClock();
    let taken = false;
    const waiting = take(clock).then((lock) => {
      taken = true;
      return lock;
    });
    const passed = await pass(clock, 3 * LEASE_MS, () => taken);
    expect(passed).toBeGreaterThanOrEqual(LEASE_MS);
    expect(passed).toBeLessThanOrEqual(LEASE_MS + 1_000);
    await (await waiting)?.release();
  });

  it('of another machine that renews it is not taken, whatever its clock says', async () => {
    const file = await lockOf(JSON.stringify({ pid: 1, machine: 'elsewhere' }));
    const clock = new ManualClock();
    const controller = new AbortController();
    const waiting = take(clock, controller.signal);
    const ended = expect(waiting).rejects.toBe('enough');
    for (let n = 0; n < 12; n++) {
      await pass(clock, RENEW_MS, () => false);
      await utimes(file, n, n);
    }
    controller.abort('enough');
    await ended;
  });

  it('ends the waiting when what it is for is there', async () => {
    await lockOf(JSON.stringify({ pid: 1, machine: 'elsewhere' }));
    expect(
      await takeLock(locks, 'k', { clock: new ManualClock(), found: async () => 'it' }),
    ).toEqual({ lock: undefined, found: 'it' });
    expect(await readdir(locks)).toEqual(['k']);
  });

  it('is taken over by one of many', async () => {
    const machine = (JSON.parse(ownerText()) as { machine: string }).machine;
    await lockOf(JSON.stringify({ pid: 2 ** 22 + 1, machine }));
    const clock = new ManualClock();
    const taken: string[] = [];
    const controller = new AbortController();
    const all = Array.from({ length: 12 }, () =>
      take(clock, controller.signal).then(
        (lock) => {
          taken.push(lock?.token ?? '');
          return lock;
        },
        () => undefined,
      ),
    );
    await pass(clock, 1_000, () => false, 12);
    expect(taken).toHaveLength(1);
    controller.abort();
    for (const lock of await Promise.all(all)) await lock?.release();
  });
});
