import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BreakerSnapshot } from '@outlast/core-retry';
import type { ManualClock } from '@outlast/core-retry/testing';
import { onTestFinished } from 'vitest';
import { type Settled, settled } from './helpers.js';

/** A file that does not exist yet, in a folder of its own that goes with the test. */
export async function freshPath(): Promise<string> {
  const folder = await fs.mkdtemp(join(tmpdir(), 'outlast-store-'));
  onTestFinished(() => fs.rm(folder, { recursive: true, force: true }));
  return join(folder, 'breakers.json');
}

export function snapshot(more: Partial<BreakerSnapshot> = {}): BreakerSnapshot {
  return {
    version: 1,
    state: 'closed',
    failures: 0,
    trips: 0,
    openTimeoutMs: 60_000,
    savedAt: 1,
    ...more,
  };
}

/** Real time until the condition holds; a test that waits in vain ends by its own timeout. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Moves the clock whenever somebody sleeps on it, for files take real time in between. */
export async function driven<T>(clock: ManualClock, promise: Promise<T>): Promise<Settled<T>> {
  let end: Settled<T> | undefined;
  void settled(promise).then((value) => {
    end = value;
  });
  await until(async () => {
    if (end === undefined && clock.pending > 0) await clock.advance(25);
    return end !== undefined;
  });
  return end as unknown as Settled<T>;
}

type Functions = typeof fs;
type Name = 'open' | 'rename' | 'stat' | 'mkdir' | 'readdir';

/** Puts a function in the place of one of node:fs/promises, for this test. */
export function intercept<N extends Name>(
  name: N,
  make: (real: Functions[N]) => (...args: never[]) => unknown,
): void {
  const real = fs[name];
  Object.assign(fs, { [name]: make(real) });
  syncBuiltinESMExports();
  onTestFinished(() => {
    Object.assign(fs, { [name]: real });
    syncBuiltinESMExports();
  });
}

/** Holds up the first renaming that `which` picks, until it is let go. */
export function holdUpRename(which: (from: string, to: string) => boolean): {
  readonly reached: Promise<void>;
  readonly letGo: () => void;
} {
  let reach = (): void => {};
  let letGo = (): void => {};
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let held = false;
  intercept('rename', (real) => async (from: string, to: string) => {
    if (!held && which(from, to)) {
      held = true;
      reach();
      await gate;
    }
    return real(from, to);
  });
  return { reached, letGo };
}
