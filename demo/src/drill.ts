import type { Facts } from './audit.js';
import type { Chronicle } from './chronicle.js';
import type { Ledger } from './ledger.js';

/** There is no server to run the drill on; its message says what would cure it. */
export class NoServerError extends Error {}

/** `ours` is the one that has to hold; `older` is the driver one major back, `idempotent` the driver at its safest. */
export type LaneKey = 'plain' | 'older' | 'idempotent' | 'hand' | 'ours';

/** One application under the drill. */
export interface Lane {
  readonly key: LaneKey;
  /** What it uses, in a few words. */
  readonly title: string;
  readonly ledger: Ledger;
  /** What the database holds of it; known at the end. */
  facts?: Facts;
  /** Real faults that hit it, by name, in the order of `Drill.quotas`. */
  readonly hits: Map<string, number>;
}

/** So many real faults a lane must have met, or the run proves nothing. */
export interface Quota {
  readonly name: string;
  readonly least: number;
}

/** What ours has to keep, way by way. */
interface WayPromise {
  readonly way: string;
  /** Whether "nobody knows what became of it" is an answer that this way may give. */
  readonly mayBeUnknown: boolean;
}

/** A run: what is shared by those who break things, those who work and those who watch. */
export interface Run {
  readonly seed: number;
  readonly seconds: number;
  readonly chronicle: Chronicle;
  readonly lanes: Lane[];
  /** Stands in ours' address as password, and may be seen nowhere. */
  readonly canary: string;
  /** Where lanes come from; those who watch see them from then on. */
  addLane(lane: Pick<Lane, 'key' | 'title'>, isUnknown?: (error: unknown) => boolean): Lane;
}

/** A named text that the report quotes. */
interface Quote {
  readonly title: string;
  readonly text: string;
}

/** What is known when a drill is over, beside ledgers and chronicle. */
export interface Outcome {
  /** The server and the libraries, with their versions. */
  readonly versions: Readonly<Record<string, string>>;
  readonly quotes: readonly Quote[];
  /** How it was counted, a sentence each. */
  readonly method: readonly string[];
}

/** The fault drill of one system. */
export interface Drill {
  readonly system: string;
  readonly title: string;
  readonly quotas: readonly Quota[];
  readonly promises: readonly WayPromise[];
  /** Whether its application reads. Default true. */
  readonly reads?: boolean;
  /** Whether its application has transactions. Default true. */
  readonly transactions?: boolean;
  /** How much longer than the longest outage nobody's work may stand still, ms. Default 250. */
  readonly graceMs?: number;
  run(run: Run): Promise<Outcome>;
}
