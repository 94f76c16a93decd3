/** `pending`: it never settled. `failed`: an error that says, or lets one believe, that nothing was done. */
type Outcome = 'pending' | 'ok' | 'failed' | 'unknown';

/** What an operation would leave behind in the database. */
export interface Trace {
  /** A row of this id, in a table that does not mind the same id twice. */
  readonly id?: string;
  /** One more in this counter, which nobody else counts up. */
  readonly counter?: string;
}

/** One write, as the application saw it. */
export interface Entry extends Trace {
  /** How it was written: plainly, in a transaction, … */
  readonly way: string;
  outcome: Outcome;
  /** When it settled, ms since the run began. */
  at: number;
  /** The counter's new value, as the server acknowledged it. */
  value?: number;
}

/** Operations that settled within one bin of time. */
export interface Bin {
  ok: number;
  failed: number;
  unknown: number;
}

/** How long a bin of the timeline is, ms. */
export const BIN_MS = 100;

const SAMPLES = 500;

/** What the application of one lane saw: every operation, its outcome, and when. */
export class Ledger {
  readonly writes: Entry[] = [];
  readonly reads: Bin = { ok: 0, failed: 0, unknown: 0 };
  readonly bins: Bin[] = [];
  /** How often each error came, by its code or message. */
  readonly errors: Map<string, number> = new Map();
  /** The first errors themselves. */
  readonly samples: unknown[] = [];
  readonly totals: Bin = { ok: 0, failed: 0, unknown: 0 };
  /** The longest time between two successes, ms, and when it began. */
  longestGap: { ms: number; at: number } = { ms: 0, at: 0 };
  readonly #now: () => number;
  readonly #isUnknown: (error: unknown) => boolean;
  #lastOk: number;

  /** `isUnknown`: whether an error says that nobody knows what became of the operation. */
  constructor(now: () => number, isUnknown: (error: unknown) => boolean = () => false) {
    this.#now = now;
    this.#isUnknown = isUnknown;
    this.#lastOk = now();
  }

  /** Ms since the last success. */
  get gapMs(): number {
    return this.#now() - this.#lastOk;
  }

  /** Runs a read and notes how it went. Never rejects. */
  async read(run: () => Promise<unknown>): Promise<void> {
    try {
      await run();
      this.reads[this.#settled('ok')]++;
    } catch (error) {
      this.reads[this.#failed(error)]++;
    }
  }

  /** Runs a write and notes how it went; `run` returns the counter's new value if it counts. Never rejects. */
  async write(way: string, trace: Trace, run: () => Promise<number | undefined>): Promise<Entry> {
    const entry: Entry = { way, ...trace, outcome: 'pending', at: 0 };
    this.writes.push(entry);
    try {
      const value = await run();
      if (value !== undefined) entry.value = value;
      entry.outcome = this.#settled('ok');
    } catch (error) {
      entry.outcome = this.#failed(error);
    }
    entry.at = this.#now();
    return entry;
  }

  /** Keeps an error that the application did not see. */
  sample(error: unknown): void {
    if (this.samples.length < SAMPLES) this.samples.push(error);
  }

  /** No success will come any more: a gap that is open ends here. */
  close(): void {
    this.#gapEnds();
  }

  #failed(error: unknown): 'failed' | 'unknown' {
    const name = nameOf(error);
    this.errors.set(name, (this.errors.get(name) ?? 0) + 1);
    this.sample(error);
    return this.#settled(this.#isUnknown(error) ? 'unknown' : 'failed');
  }

  #settled<O extends 'ok' | 'failed' | 'unknown'>(outcome: O): O {
    if (outcome === 'ok') this.#gapEnds();
    const at = Math.floor(this.#now() / BIN_MS);
    while (this.bins.length <= at) this.bins.push({ ok: 0, failed: 0, unknown: 0 });
    (this.bins[at] as Bin)[outcome]++;
    this.totals[outcome]++;
    return outcome;
  }

  #gapEnds(): void {
    const ms = this.gapMs;
    if (ms > this.longestGap.ms) this.longestGap = { ms, at: this.#lastOk };
    this.#lastOk = this.#now();
  }
}

function nameOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  // Why a COMMIT cannot be found out matters more than that it cannot.
  const why = /its outcome cannot be found out: (.*)\. Look for/.exec(String(message))?.[1];
  return why === undefined ? String(code ?? message ?? error) : `${code}: ${why}`;
}
