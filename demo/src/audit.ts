import type { Entry, Ledger } from './ledger.js';

/** What the database holds at the end, counted by somebody who was not hit by any fault. */
export interface Facts {
  /** How many rows there are of each id. */
  readonly ids: ReadonlyMap<string, number>;
  readonly counters: ReadonlyMap<string, number>;
  /** Rows and counts of each way together, by a question of their own. */
  readonly byWay: ReadonlyMap<string, number>;
  /** Transactions of which one half is there and the other is not. */
  readonly torn: number;
}

/** The writes of one way: what the application was told, and what the database holds. */
export interface WayAudit {
  readonly way: string;
  ok: number;
  failed: number;
  unknown: number;
  /** Never settled. */
  pending: number;
  /** Effects in the database, by its own count. */
  present: number;
  /** Effects of operations that were reported as failed. */
  failedApplied: number;
  /** Effects of operations whose outcome was reported as unknown. */
  unknownApplied: number;
  /** Acknowledged, and not there. */
  lost: number;
  /** There once more than anybody asked for. */
  doubled: number;
}

/** A lane's ledger against the database. */
export interface Audit {
  readonly ways: WayAudit[];
  readonly total: WayAudit;
  readonly torn: number;
  /** Rows and counters that no operation of the ledger explains. */
  readonly strangers: number;
  /** Whether the database's own count of each way = ok + failedApplied + unknownApplied + doubled − lost. */
  readonly addsUp: boolean;
  /** When operations settled that turned out otherwise than the application was told. */
  readonly marks: Marks;
}

/** Moments in ms since the run began. */
export interface Marks {
  readonly doubled: number[];
  readonly failedApplied: number[];
}

/** Compares what the application was told with what the database holds. */
export function audit(ledger: Ledger, facts: Facts): Audit {
  const ways = new Map<string, WayAudit>();
  const doubledAt: number[] = [];
  const wayOf = (entry: Entry): WayAudit => {
    const way = ways.get(entry.way) ?? blank(entry.way);
    ways.set(entry.way, way);
    return way;
  };
  const counted = new Map<string, Entry[]>();
  const known = new Set<string>();
  for (const entry of ledger.writes) {
    const way = wayOf(entry);
    way[entry.outcome]++;
    if (entry.id !== undefined) {
      known.add(entry.id);
      auditRow(way, entry, facts.ids.get(entry.id) ?? 0, doubledAt);
    } else if (entry.counter !== undefined) {
      known.add(entry.counter);
      const list = counted.get(entry.counter);
      if (list) list.push(entry);
      else counted.set(entry.counter, [entry]);
    }
  }
  for (const [counter, entries] of counted)
    auditCounter(entries, facts.counters.get(counter) ?? 0, wayOf, doubledAt);
  let strangers = 0;
  for (const [name, n] of [...facts.ids, ...facts.counters]) if (!known.has(name)) strangers += n;
  for (const way of ways.values()) way.present = facts.byWay.get(way.way) ?? 0;
  const total = sum('all writes', [...ways.values()]);
  return {
    ways: [...ways.values()].sort((a, b) => b.ok - a.ok),
    total,
    torn: facts.torn,
    strangers,
    addsUp: [...ways.values(), total].every(
      (way) =>
        way.present === way.ok + way.failedApplied + way.unknownApplied + way.doubled - way.lost,
    ),
    doubledAt: doubledAt.sort((a, b) => a - b),
  };
}

function auditRow(way: WayAudit, { outcome, at }: Entry, rows: number, doubledAt: number[]): void {
  if (rows === 0) {
    if (outcome === 'ok') way.lost++;
    return;
  }
  explain(way, outcome);
  for (let extra = 1; extra < rows; extra++) {
    way.doubled++;
    doubledAt.push(at);
  }
}

/**
 * A counter has one writer, who was told its value each time: between two acknowledged values d apart there
 * were d steps. Those that no acknowledgement explains are put down to errors in between, as long as there
 * are any; only the rest is called doubled.
 */
function auditCounter(
  entries: Entry[],
  final: number,
  wayOf: (entry: Entry) => WayAudit,
  doubledAt: number[],
): void {
  const first = entries[0];
  if (!first) return;
  const way = wayOf(first);
  let last = 0;
  let unanswered: Entry[] = [];
  const step = (value: number, acknowledged: number, at: number): void => {
    let surplus = value - last - acknowledged;
    if (surplus < 0) way.lost -= surplus;
    unanswered.sort((a, b) => Number(a.outcome === 'failed') - Number(b.outcome === 'failed'));
    for (const { outcome } of unanswered.slice(0, Math.max(0, surplus))) {
      explain(way, outcome);
      surplus--;
    }
    for (; surplus > 0; surplus--) {
      way.doubled++;
      doubledAt.push(at);
    }
    last = value;
    unanswered = [];
  };
  for (const entry of entries) {
    if (entry.outcome === 'ok') step(entry.value ?? last + 1, 1, entry.at);
    else unanswered.push(entry);
  }
  step(final, 0, entries.at(-1)?.at ?? 0);
}

function explain(way: WayAudit, outcome: Entry['outcome']): void {
  if (outcome === 'failed') way.failedApplied++;
  else if (outcome !== 'ok') way.unknownApplied++;
}

function blank(way: string): WayAudit {
  const none = { ok: 0, failed: 0, unknown: 0, pending: 0, present: 0 };
  return { way, ...none, failedApplied: 0, unknownApplied: 0, lost: 0, doubled: 0 };
}

function sum(name: string, ways: WayAudit[]): WayAudit {
  const total = blank(name);
  for (const { way: _, ...numbers } of ways)
    for (const key of Object.keys(numbers) as (keyof typeof numbers)[]) total[key] += numbers[key];
  return total;
}
