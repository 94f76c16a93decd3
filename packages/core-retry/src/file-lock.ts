import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, rmdir, stat, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from './clock.js';
import { OutlastError } from './errors.js';

/** The right to replace a file, until it is published, released or taken over. */
export interface Hold {
  /**
   * Replaces the file at once and wholly, and gives the lock back.
   *
   * @returns false if the lock was lost and nothing was replaced
   * @throws the system's error; the file is as it was
   */
  publish(text: string): Promise<boolean>;
  /** Gives the lock back, if it is still held. Never rejects. */
  release(): Promise<void>;
}

// What systems answer to the renaming of a folder onto one that is not empty (Windows: onto any).
const TAKEN: readonly unknown[] = ['ENOTEMPTY', 'EEXIST', 'EPERM', 'EACCES', 'EBUSY'];
const LONGEST_WAIT_MS = 200;
const LEFTOVER_AFTER_MS = 60_000;
const LEFTOVERS_AT_ONCE = 20;

/**
 * A lock among processes on one file, for as long as a lease.
 *
 * It is the folder `<path>.lock`, with the owner's unpublished file in it under the owner's token. An
 * owner prepares that folder under a name of its own and renames it into place, which succeeds only if
 * none is there or an empty one. To publish is to rename the file out of the folder: one step that
 * proves the ownership, replaces the file and gives the lock back. To take over is to rename the folder
 * away, whereupon the late owner finds no file to publish. So there is no moment between a check and
 * what it allows, whoever is killed or stopped in the middle.
 */
export class FileLock {
  private readonly path: string;
  private readonly lock: string;
  private readonly leaseMs: number;
  private readonly clock: Clock;
  // Outlives one waiting, so that a lock can be outwaited in several.
  private owner: Readonly<{ token: string; since: number; aged: boolean }> | undefined;
  private swept = false;

  constructor(path: string, leaseMs: number, clock: Clock) {
    this.path = path;
    this.lock = `${path}.lock`;
    this.leaseMs = leaseMs;
    this.clock = clock;
  }

  /**
   * Waits for the lock.
   *
   * @param until monotonic milliseconds
   * @throws OutlastError `OUTLAST_STORE_LOCKED` if others held it until then; the system's error
   */
  async acquire(until: number): Promise<Hold> {
    const token = randomUUID();
    const folder = `${this.lock}-${token}`;
    const own = join(folder, token);
    try {
      await prepare(folder, own);
      if (!this.swept) await sweep(this.lock, own).catch(() => {});
      this.swept = true;
      let preparedAt = this.clock.now();
      let waitMs = 1;
      while (!(await this.take(folder))) {
        do {
          const leftMs = until - this.clock.now();
          if (leftMs <= 0) throw lockedOut('held its lock for all of lockWaitMs');
          await sleep(this.clock, Math.min(leftMs, waitMs * (0.5 + Math.random())));
          waitMs = Math.min(waitMs * 1.5, LONGEST_WAIT_MS);
        } while (!(await this.isFree(own, preparedAt, `${folder}.dead`)));
        // Once more, for others count the lease from the age of this file, or may have swept it away.
        await prepare(folder, own);
        preparedAt = this.clock.now();
      }
      return this.hold(token);
    } catch (error) {
      await remove(folder).catch(() => {});
      throw error;
    }
  }

  private async take(folder: string): Promise<boolean> {
    try {
      await rename(folder, this.lock);
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || TAKEN.includes(codeOf(error))) return false;
      throw error;
    }
  }

  /** Whether nobody holds the lock, be it because it was taken from one who held it for too long. */
  private async isFree(own: string, preparedAt: number, grave: string): Promise<boolean> {
    try {
      const [token] = await readdir(this.lock);
      if (token === undefined) {
        await rmdir(this.lock);
        return true;
      }
      const now = this.clock.now();
      if (this.owner?.token !== token) {
        // Where many wait it changes hands at every look: its age is worth asking for at the second.
        this.owner = { token, since: now, aged: false };
      } else if (!this.owner.aged) {
        // Both times are the file system's; one in the future counts as the present.
        const { mtimeMs } = await stat(join(this.lock, token));
        const ageMs = (await stat(own)).mtimeMs + (now - preparedAt) - mtimeMs;
        this.owner = { token, since: Math.min(this.owner.since, now - ageMs), aged: true };
      }
      if (now - this.owner.since < this.leaseMs) return false;
      // Should it have changed hands just now, then the new owner publishes nothing and tries again.
      await rename(this.lock, grave);
      await remove(grave);
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return true;
      if (TAKEN.includes(codeOf(error))) return false;
      throw error;
    }
  }

  private hold(token: string): Hold {
    const own = join(this.lock, token);
    // An empty folder is no lock, only litter; one that is not empty is another's, and stays.
    const tidy = (): Promise<void> => rmdir(this.lock).catch(() => {});
    return {
      publish: async (text) => {
        try {
          await overwrite(own, text);
          await rename(own, this.path);
        } catch (error) {
          if (codeOf(error) === 'ENOENT') return false;
          throw error;
        }
        await tidy();
        return true;
      },
      release: async () => {
        // A lock that cannot be given back ends with its lease.
        await unlink(own).then(tidy, () => {});
      },
    };
  }
}

/** Removes what processes left behind that were killed while they waited for the lock. */
async function sweep(lock: string, own: string): Promise<void> {
  const now = (await stat(own)).mtimeMs;
  const leftovers = (await readdir(dirname(lock)))
    .filter((name) => name.startsWith(`${basename(lock)}-`))
    .slice(0, LEFTOVERS_AT_ONCE)
    .map((name) => join(dirname(lock), name));
  for (const leftover of leftovers) {
    const made = await stat(leftover).catch(() => undefined);
    if (made !== undefined && now - made.mtimeMs > LEFTOVER_AFTER_MS) await remove(leftover);
  }
}

function remove(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}

function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.setTimeout(resolve, ms));
}

async function prepare(folder: string, own: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  // A byte, for not every file system ages a file that stays empty; a space, for JSON may begin with it.
  await writeFile(own, ' ', { mode: 0o600 });
}

async function overwrite(own: string, text: string): Promise<void> {
  // Not created anew, lest it appear in the folder of who has taken the lock over.
  const handle = await open(own, 'r+');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What a write fails with that others were in the way of. @param why what they did */
export function lockedOut(why: string): OutlastError {
  return new OutlastError(
    'OUTLAST_STORE_LOCKED',
    `The breakers' file was not written, for other processes ${why}. Allow it more time, or let fewer processes share one file.`,
  );
}

function codeOf(error: unknown): unknown {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}
