import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';

/** The right to write a partial file, until it is given back. */
export interface Claim {
  /** Who had it before was silent for too long, and may wake up and write on. */
  readonly contested: boolean;
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
  let contested = false;
  if (!(await create(path, owner))) {
    const end = await takeOver(path);
    if (end === undefined || !(await create(path, owner))) return undefined;
    contested = end === 'silent';
  }
  ours.add(owner);
  const renewal = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, RENEW_MS);
  renewal.unref();
  const held = async (): Promise<boolean> => (await read(path)) === owner;
  return {
    contested,
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

/** What became of the owner of a lock; undefined while it is at work. */
type End = 'gone' | 'silent' | undefined;

/** Removes the lock if its owner is at work no more. */
async function takeOver(path: string): Promise<End> {
  const owner = await read(path);
  if (owner === undefined) return 'gone';
  const end = await endOf(path, owner);
  if (end === undefined) return undefined;
  // Moved away first, and looked at: between the look and the removal it may have become another's.
  const grave = `${path}-${randomUUID()}`;
  try {
    await rename(path, grave);
  } catch {
    return undefined;
  }
  const same = (await read(grave)) === owner;
  if (!same) await link(grave, path).catch(() => {});
  await rm(grave, { force: true });
  return same ? end : undefined;
}

async function endOf(path: string, owner: string): Promise<End> {
  if (ours.has(owner)) return undefined;
  const [pid = '', host] = owner.split(' ');
  if (host === hostname() && /^\d+$/.test(pid) && !isAlive(Number(pid))) return 'gone';
  // Our own number may be that of a process before us, or of another copy of this package.
  const renewed = await stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs < STALE_MS,
    () => false,
  );
  return renewed ? undefined : 'silent';
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
