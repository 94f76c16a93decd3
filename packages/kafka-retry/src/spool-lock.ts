import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { SpoolLockedError } from './errors.js';

/** Who holds a folder. */
interface Owner {
  readonly token: string;
  readonly host: string;
  readonly pid: number;
  /** When its process began, in the words of its system: a pid is given again. */
  readonly began: string;
}

const BEAT_MS = 2000;
/** An owner on another machine cannot be looked at: so long without a sign of life is the end of it. */
const DEAD_AFTER_MS = 30_000;
const TAKING_OVER_MS = 10_000;

const held = new Set<string>();

/**
 * Makes a folder one process's own, until it gives it back or dies. A process of this machine is looked up; one
 * elsewhere (a shared volume) counts as dead after 30 s without a sign of life.
 *
 * @returns how to give it back
 * @throws SpoolLockedError
 */
export async function lockSpool(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'lock');
  if (held.has(path)) throw new SpoolLockedError(folder, `this process (${process.pid})`);
  held.add(path);
  const owner: Owner = {
    token: randomUUID(),
    host: hostname(),
    pid: process.pid,
    began: beganOf(process.pid) ?? '',
  };
  try {
    await take(path, owner, folder);
  } catch (error) {
    held.delete(path);
    throw error;
  }
  const beat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, BEAT_MS);
  beat.unref();
  return async () => {
    clearInterval(beat);
    const found = await ownerOf(path);
    if (found?.token === owner.token) await unlink(path).catch(() => {});
    held.delete(path);
  };
}

async function take(path: string, owner: Owner, folder: string): Promise<void> {
  if (await create(path, JSON.stringify(owner))) return;
  const found = await ownerOf(path);
  if (found !== undefined && (await isAlive(found, path))) {
    throw new SpoolLockedError(folder, `process ${found.pid} on ${found.host}`);
  }
  // One at a time takes over, or the second would remove the lock of the first.
  const door = `${path}.taking-over`;
  if (!(await create(door, owner.token))) {
    const since = await stat(door).catch(() => undefined);
    if (since !== undefined && Date.now() - since.mtimeMs < TAKING_OVER_MS) {
      throw new SpoolLockedError(folder, 'a process that takes it over');
    }
    await unlink(door).catch(() => {});
    if (!(await create(door, owner.token))) {
      throw new SpoolLockedError(folder, 'a process that takes it over');
    }
  }
  try {
    const now = await ownerOf(path);
    if (now?.token !== found?.token) {
      throw new SpoolLockedError(folder, `process ${now?.pid} on ${now?.host}`);
    }
    const own = `${path}.${owner.token}`;
    await writeFile(own, JSON.stringify(owner), { mode: 0o600 });
    await rename(own, path);
  } finally {
    await unlink(door).catch(() => {});
  }
}

/** It is there with its content, or not at all. @returns false if there was one */
async function create(path: string, text: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, text, { mode: 0o600 });
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(draft).catch(() => {});
  }
}

/** Undefined if there is none, or it was not written to its end. */
async function ownerOf(path: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}

async function isAlive(owner: Owner, path: string): Promise<boolean> {
  if (owner.host !== hostname()) {
    const found = await stat(path).catch(() => undefined);
    return found !== undefined && Date.now() - found.mtimeMs < DEAD_AFTER_MS;
  }
  // A container that is started again may have the same name, and the same pid.
  if (owner.pid === process.pid) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  const began = beganOf(owner.pid);
  return began === undefined || owner.began === '' || began === owner.began;
}

/** Linux: field 22 of `/proc/<pid>/stat`, behind the name in brackets, which may hold anything. */
function beganOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
