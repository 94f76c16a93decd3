import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';

/** The right to write a partial file, until it is given back. */
export interface Claim {
  /** Whether it still is ours. */
  held(): Promise<boolean>;
  release(): Promise<void>;
}

const RENEW_MS = 2000;
const STALE_MS = 10_000;
const ours = new Set<string>();

/**
 * Claims a lock file, or says that somebody else has it. Never waits. The lock of a process that died on
 * this machine is taken over at once, another machine's when it has not been renewed for 10 s.
 */
export async function claim(path: string): Promise<Claim | undefined> {
  const owner = `${process.pid} ${hostname()} ${randomUUID()}`;
  if (!(await create(path, owner)) && !((await takeOver(path)) && (await create(path, owner)))) {
    return undefined;
  }
  ours.add(owner);
  const renewal = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, RENEW_MS);
  renewal.unref();
  const held = async (): Promise<boolean> => (await read(path)) === owner;
  return {
    held,
    async release() {
      clearInterval(renewal);
      if (await held()) await rm(path, { force: true }).catch(() => {});
      ours.delete(owner);
    },
  };
}

async function create(path: string, owner: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx', 0o600);
    try {
      await handle.writeFile(owner);
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the lock if its owner is gone. */
async function takeOver(path: string): Promise<boolean> {
  const owner = await read(path);
  if (owner === undefined) return true;
  if (!(await isGone(path, owner))) return false;
  // Moved away first, and looked at: between the look and the removal it may have become another's.
  const grave = `${path}-${randomUUID()}`;
  try {
    await rename(path, grave);
  } catch {
    return false;
  }
  const same = (await read(grave)) === owner;
  if (!same) await link(grave, path).catch(() => {});
  await rm(grave, { force: true });
  return same;
}

async function isGone(path: string, owner: string): Promise<boolean> {
  const [pid = '', host] = owner.split(' ');
  if (ours.has(owner)) return false;
  const renewed = await stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs < STALE_MS,
    () => false,
  );
  if (renewed && (host !== hostname() || !/^\d+$/.test(pid))) return false;
  // Our own number may be that of a process before us, or of another copy of this package.
  return !renewed || !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
