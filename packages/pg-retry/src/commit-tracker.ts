import type { Attempt } from '@outlast/core-retry';
import type driver from 'pg';
import type { ClientState } from './client-state.js';
import { internals } from './driver.js';
import { searchOutcome } from './outcome-search.js';
import type { PoolCore } from './pool-core.js';
import { type Asker, resolveCommit, type TrackedTransaction, type Verdict } from './resolve.js';
import {
  FACTS,
  FUNCTIONS,
  probeTracking,
  type ServerFacts,
  type TrackingKind,
} from './server-facts.js';

interface Opened {
  readonly xid: string;
}

/** Follows the transactions of one pool, so that a lost COMMIT can be resolved. */
export class CommitTracker {
  private readonly core: PoolCore;
  private readonly probing = new Map<string, Promise<TrackingKind>>();

  constructor(core: PoolCore) {
    this.core = core;
  }

  /** Asked once a host; a probe that failed for want of a connection is asked again. */
  kind(client: driver.ClientBase): Promise<TrackingKind> {
    const { host, port } = internals(client);
    const server = `${host}:${port}`;
    let probing = this.probing.get(server);
    if (probing === undefined) {
      probing = probeTracking((text) => client.query(text)).catch((error: unknown) => {
        this.probing.delete(server);
        throw error;
      });
      this.probing.set(server, probing);
    }
    return probing;
  }

  /** What to ask in the round trip of BEGIN; the facts only once a connection. */
  question(kind: Exclude<TrackingKind, 'none'>, state: ClientState): string {
    const facts = state.facts === undefined ? `, ${FACTS}` : '';
    return `SELECT ${FUNCTIONS[kind].current}::text AS xid${facts}`;
  }

  /** Reads the answer to {@link question}. */
  opened(
    kind: Exclude<TrackingKind, 'none'>,
    state: ClientState,
    row: Opened & Partial<ServerFacts>,
  ): Omit<TrackedTransaction, 'lostAtSerial'> {
    state.facts ??= {
      system: row.system ?? '',
      timeline: row.timeline ?? '',
      started: row.started ?? '',
      statsReset: row.statsReset ?? null,
      noted: row.noted ?? Infinity,
    };
    return { xid: row.xid, kind, facts: state.facts };
  }

  /** Looks for the outcome on other connections until it is found or time is up. */
  resolve(transaction: TrackedTransaction, attempt: Attempt, bounded: boolean): Promise<Verdict> {
    const { clock } = this.core.policy.settings;
    const wait = (ms: number): Promise<void> =>
      new Promise((resolve) => clock.setTimeout(resolve, ms));
    return searchOutcome(this.core, attempt, bounded, (client) => {
      const asker: Asker = {
        ask: (text, values) => client.query(text, [...values]),
        serial: this.core.stateOf(client).serial,
        processID: internals(client).processID,
        now: () => clock.now(),
        openedBetween: (serial, until) => this.core.openedBetween(serial, until),
      };
      return resolveCommit(transaction, asker, wait);
    });
  }
}
