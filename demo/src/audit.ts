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
interface WayAudit {
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
interface Marks {
  readonly doubled: number[];
  readonly failedApplied: number[];
}

/** Compares what the application was told with what the database holds. */
export function audit(ledger: Ledger, facts: Facts): Audit {
  const marks: Marks = { doubled: [], failedApplied: [] };
  const tallies = new Map<string, Tally>();
  const counted = new Map<string, Entry[]>();
  const known = new Set<string>();
  for (const entry of ledger.writes) {
    const tally = tallies.get(entry.way) ?? new Tally(entry.way, marks);
    tallies.set(entry.way, tally);
    tally.way[entry.outcome]++;
    if (entry.id !== undefined) {
      known.add(entry.id);
      tally.row(entry, facts.ids.get(entry.id) ?? 0);
    } else if (entry.counter !== undefined) {
      known.add(entry.counter);
      const entries = counted.get(entry.counter);
      if (entries) entries.push(entry);
      else counted.set(entry.counter, [entry]);
    }
  }
  for (const [counter, entries] of counted)
    tallies.get(entries[0]?.way ?? '')?.counter(entries, facts.counters.get(counter) ?? 0);
  let strangers = 0;
  for (const [name, n] of [...facts.ids, ...facts.counters]) if (!known.has(name)) strangers += n;
  const ways = [...tallies.values()].map(({ way }) => way).sort((a, b) => b.ok - a.ok);
  for (const way of ways) way.present = facts.byWay.get(way.way) ?? 0;
  const total = sum(ways);
  const addsUp = [...ways, total].every(
    ({ present, ok, failedApplied, unknownApplied, doubled, lost }) =>
      present === ok + failedApplied + unknownApplied + doubled - lost,
  );
  return { ways, total, torn: facts.torn, strangers, addsUp, marks };
}

class Tally {
  readonly way: WayAudit;
  readonly #marks: Marks;

  constructor(way: string, marks: Marks) {
    this.way = blank(way);
    this.#marks = marks;
  }

  row(entry: Entry, rows: number): void {
    if (rows === 0) {
      if (entry.outcome === 'ok') this.way.lost++;
      return;
    }
    this.#explain(entry);
    this.#double(rows - 1, entry.at);
  }

  /**
   * A counter has one writer, who was told its value each time: between two acknowledged values d apart there
   * were d steps. Those that no acknowledgement explains are put down to errors in between, as long as there
   * are any; only the rest is called doubled.
   */
  counter(entries: readonly Entry[], final: number): void {
    let last = 0;
    let unanswered: Entry[] = [];
    const step = (value: number, acknowledged: number, at: number): void => {
      const surplus = value - last - acknowledged;
      if (surplus < 0) this.way.lost -= surplus;
      unanswered.sort((a, b) => Number(a.outcome === 'failed') - Number(b.outcome === 'failed'));
      const explained = unanswered.slice(0, Math.max(0, surplus));
      for (const entry of explained) this.#explain(entry);
      this.#double(surplus - explained.length, at);
      last = value;
      unanswered = [];
    };
    for (const entry of entries) {
      if (entry.outcome === 'ok') step(entry.value ?? last + 1, 1, entry.at);
      else unanswered.push(entry);
    }
    step(final, 0, entries.at(-1)?.at ?? 0);
  }

  #explain({ outcome, at }: Entry): void {
    if (outcome === 'ok') return;
    if (outcome === 'failed') {
      this.way.failedApplied++;
      this.#marks.failedApplied.push(at);
    } else this.way.unknownApplied++;
  }

  #double(times: number, at: number): void {
    for (let n = 0; n < times; n++) {
      this.way.doubled++;
      this.#marks.doubled.push(at);
    }
  }
}

function blank(way: string): WayAudit {
  const none = { ok: 0, failed: 0, unknown: 0, pending: 0, present: 0 };
  return { way, ...none, failedApplied: 0, unknownApplied: 0, lost: 0, doubled: 0 };
}

function sum(ways: readonly WayAudit[]): WayAudit {
  const total = blank('all writes');
  for (const { way: _, ...numbers } of ways)
    for (const key of Object.keys(numbers) as (keyof typeof numbers)[]) total[key] += numbers[key];
  return total;
}
