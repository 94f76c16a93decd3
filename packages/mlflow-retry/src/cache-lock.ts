import { randomUUID } from 'node:crypto';
import {
  mkdir,
  readdir,
  rename,
  rm,
  rmdir,
  stat,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Timer } from '@outlast/core-retry';
import { isOwnerDead, ownerText } from './cache-owner.js';
import { sleep } from './sleep.js';

/** How often the owner of a lock says that it lives. */
export const RENEW_MS = 2_000;
/** After such a silence a lock is taken from an owner of whom nothing else is known. */
export const LEASE_MS = 10_000;

const POLL_MS = 100;
// What systems answer to the renaming of a folder onto one that is not empty (Windows: onto any).
const TAKEN: readonly unknown[] = ['ENOTEMPTY', 'EEXIST', 'EPERM', 'EACCES', 'EBUSY'];

/** A lock that is held. */
export interface CacheLock {
  /** Also in the name of the owner's staging folder. */
  readonly token: string;
  /** Gives it back, if it is still held. Never rejects. */
  release(): Promise<void>;
}

/**
 * A lock among processes, so that a model is downloaded once. It spares work and guards nothing: each
 * owner writes into a folder of its own, so that a lock that is broken costs a second download.
 *
 * It is a folder with the owner's file in it, named by the owner's token. It is prepared under another name
 * and renamed into place, which succeeds only if none is there or an empty one; it is taken over by
 * unlinking exactly the file that was found stale, which succeeds for one.
 *
 * @param found asked between looks while another has it: what it gives ends the waiting
 * @returns the lock, or what `found` gave
 * @throws the signal's reason; the system's error
 */
export async function takeLock<T>(
  locks: string,
  key: string,
  options: {
    readonly clock: Clock;
    readonly signal?: AbortSignal | undefined;
    readonly found: () => Promise<T | undefined>;
  },
): Promise<{ readonly lock: CacheLock } | { readonly lock: undefined; readonly found: T }> {
  const { clock, signal } = options;
  const token = randomUUID();
  const lock = join(locks, key);
  const prepared = join(locks, `${key}.${token}`);
  const watch = new Watch(clock);
  try {
    for (;;) {
      signal?.throwIfAborted();
      await prepare(prepared, token);
      if (await moved(prepared, lock)) return { lock: hold(lock, token, clock) };
      const found = await options.found();
      if (found !== undefined) {
        await remove(prepared);
        return { lock: undefined, found };
      }
      if (!(await freed(lock, watch))) await sleep(clock, POLL_MS, signal);
    }
  } catch (error) {
    await remove(prepared);
    throw error;
  }
}

function remove(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true }).catch(() => {});
}

async function prepare(folder: string, token: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await writeFile(join(folder, token), ownerText(), { mode: 0o600 });
}

async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || TAKEN.includes(code)) return false;
    throw error;
  }
}

/** Whether nobody holds the lock any more, be it because it was taken away just now. */
async function freed(lock: string, watch: Watch): Promise<boolean> {
  try {
    const [token] = await readdir(lock);
    if (token !== undefined) {
      const file = join(lock, token);
      if (!(await watch.isStale(token, file))) return false;
      await unlink(file);
    }
    await rmdir(lock);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    if (TAKEN.includes(code)) return false;
    throw error;
  }
}

/** Watches an owner's file: silence is measured by our own clock, for another host's may be wrong. */
class Watch {
  readonly #clock: Clock;
  #seen: { readonly token: string; readonly mtimeMs: number; readonly since: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async isStale(token: string, file: string): Promise<boolean> {
    if (await isOwnerDead(file)) return true;
    const { mtimeMs } = await stat(file);
    const now = this.#clock.now();
    if (this.#seen?.token !== token || this.#seen.mtimeMs !== mtimeMs) {
      this.#seen = { token, mtimeMs, since: now };
    }
    return now - this.#seen.since >= LEASE_MS;
  }
}

function hold(lock: string, token: string, clock: Clock): CacheLock {
  const file = join(lock, token);
  let timer: Timer | undefined;
  const renew = (): void => {
    const now = clock.wallNow() / 1_000;
    // A lock that was taken from us is gone for good; nothing depends on it.
    utimes(file, now, now).catch(() => {});
    timer = clock.setTimeout(renew, RENEW_MS, { unref: true });
  };
  timer = clock.setTimeout(renew, RENEW_MS, { unref: true });
  return {
    token,
    release: async () => {
      timer?.cancel();
      // A lock that cannot be given back ends with its lease.
      await unlink(file).then(
        () => rmdir(lock).catch(() => {}),
        () => {},
      );
    },
  };
}
