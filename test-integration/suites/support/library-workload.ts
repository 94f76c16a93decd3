import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown, retryInfo } from '@outlast/pg-retry';
import { expect } from 'vitest';
import { waitFor } from '../../servers/index.js';

/** What the workload asks of a server's lab. */
export interface LibraryLab {
  readonly server: {
    admin(sql: string): Promise<{ readonly rows: readonly object[] }>;
    /** In good order, or in a crash. */
    stop(mode: 'fast' | 'immediate'): Promise<unknown>;
    start(): Promise<unknown>;
  };
  /** The one value that a query answers with. */
  value(sql: string): Promise<unknown>;
}

/**
 * What an operation is, and what is asked of it: `read` runs by `pool.query` and never fails; `insert` puts in
 * the row `id`; `bump` adds 1 to the row `counter`; `transaction` puts in the row `id` and stays on one
 * backend; `other` is anything else that may fail with a marked error.
 */
export type Kind = 'read' | 'insert' | 'bump' | 'transaction' | 'other';

export interface Operation {
  readonly kind: Kind;
  readonly name: string;
  /** @param id a new one each time */
  readonly run: (id: string) => PromiseLike<unknown>;
}

export type Operations = readonly Operation[];

/** How the operations of one library ended. */
export interface Report {
  runs: number;
  ok: number;
  notApplied: number;
  unknown: number;
}

const WORKERS = 4;
const DOWN_MS = 300;

/** @returns a function that makes an operation; names must differ */
export function op(kind: Kind, name: string, run: Operation['run']): Operation {
  return { kind, name, run };
}

/** Fails the test unless all of a transaction was said by one backend. */
export function oneBackend(pids: readonly unknown[]): void {
  expect(pids.every((pid) => typeof pid === 'number')).toBe(true);
  expect(new Set(pids).size).toBe(1);
}

export interface WorkloadOptions {
  /** What of the rows put in is there in the end. Default: the ids in `items`. */
  readonly present?: (ok: readonly string[]) => Promise<Iterable<string>>;
  /** The library's own words for a statement that it has not sent. */
  readonly neverSent?: (error: Error) => boolean;
  /** Whether the library makes errors of its own out of ours, without a cause: then any may be unknown. */
  readonly hidesErrors?: boolean;
}

/**
 * Runs all operations again and again while the server goes down twice, in good order and in a crash; then
 * compares what was told with what the server holds.
 */
export async function outlast(
  lab: LibraryLab,
  library: string,
  operations: Operations,
  options: WorkloadOptions = {},
): Promise<Report> {
  expect(new Set(operations.map(({ name }) => name)).size).toBe(operations.length);
  expect(operations.length).toBeGreaterThanOrEqual(30);
  const report: Report = { runs: 0, ok: 0, notApplied: 0, unknown: 0 };
  const told = new Map<string, 'ok' | 'not-applied' | 'unknown'>();
  const bumps = { ok: 0, unknown: 0 };
  const faults: string[] = [];
  const worked = new Set<string>();
  let stop = false;

  const runOne = async ({ kind, name, run }: Operation, id: string): Promise<void> => {
    report.runs += 1;
    let how: 'ok' | 'not-applied' | 'unknown' = 'ok';
    try {
      await run(id);
      report.ok += 1;
      worked.add(name);
    } catch (error) {
      const marked = markedIn(error);
      const hidden = options.hidesErrors === true && marked === undefined;
      const neverSent = options.neverSent?.(error as Error) === true;
      if (kind === 'read' || (marked === undefined && !hidden && !neverSent)) {
        faults.push(`${name}: ${describe(error)}`);
        return;
      }
      how = !neverSent && (hidden || isOutcomeUnknown(marked)) ? 'unknown' : 'not-applied';
      if (how === 'unknown') report.unknown += 1;
      else report.notApplied += 1;
    }
    if (kind === 'insert' || kind === 'transaction') told.set(id, how);
    if (kind === 'bump' && how !== 'not-applied') bumps[how] += 1;
  };

  const workers = Array.from({ length: WORKERS }, async (_, worker) => {
    for (let turn = 0; !stop; turn++) {
      const operation = operations[(turn * WORKERS + worker) % operations.length] as Operation;
      await runOne(operation, `${library}-${worker}-${turn}`);
      await sleep(1);
    }
  });
  const all = Promise.all(workers);
  const allToWork = (): Promise<unknown> => {
    worked.clear();
    return waitFor(() => worked.size === operations.length, {
      // a machine that does much else, too, has to come round to all of them
      timeoutMs: 20_000,
      what: `all operations of ${library} to work`,
    });
  };
  try {
    for (const mode of ['fast', 'immediate'] as const) {
      await allToWork();
      await lab.server.stop(mode);
      await sleep(DOWN_MS);
      await lab.server.start();
    }
    await allToWork();
  } finally {
    stop = true;
    await all;
  }

  expect(faults).toEqual([]);
  const acknowledged = [...told].filter(([, how]) => how === 'ok').map(([id]) => id);
  const { present: find = () => idsIn(lab, 'select id from items') } = options;
  const present = new Set(await find(acknowledged));
  const wrong = [...told].filter(
    ([id, how]) => how !== 'unknown' && present.has(id) !== (how === 'ok'),
  );
  expect(wrong).toEqual([]);
  if (operations.some(({ kind }) => kind === 'bump')) {
    const counter = await lab.value(`select n from items where id = 'counter'`);
    expect(counter).toBeGreaterThanOrEqual(bumps.ok);
    expect(counter).toBeLessThanOrEqual(bumps.ok + bumps.unknown);
  }
  console.log(`${library}: ${operations.length} operations, ${JSON.stringify(report)}`);
  return report;
}

/** The first column of all rows. */
export async function idsIn(lab: LibraryLab, text: string): Promise<string[]> {
  const { rows } = await lab.server.admin(text);
  return rows.map((row) => String(Object.values(row)[0]));
}

/** The driver's error inside what a library makes of it. */
function markedIn(error: unknown, depth = 4): unknown {
  if (retryInfo(error) !== undefined) return error;
  if (depth === 0 || typeof error !== 'object' || error === null) return undefined;
  const inner = error as Record<string, unknown>;
  for (const key of ['cause', 'original', 'driverError', 'parent']) {
    const found = inner[key] === undefined ? undefined : markedIn(inner[key], depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function describe(error: unknown): string {
  const { name, message, code, cause } = error as Record<string, unknown>;
  return `${name} ${code} ${message} (${cause})`;
}
