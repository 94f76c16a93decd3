import type { Attempt } from '@outlast/core-retry';
import type driver from 'pg';
import { isServerError } from './classify.js';
import type { ClientState } from './client-state.js';
import type { Acquiring } from './connect.js';
import { internals } from './driver.js';
import type { PoolCore } from './pool-core.js';
import { type Asker, resolveCommit, type TrackedTransaction, type Verdict } from './resolve.js';
import {
  FACTS,
  FUNCTIONS,
  probeTracking,
  type ServerFacts,
  type TrackingKind,
} from './server-facts.js';

/** The least time that a resolution gets, however short the pool's patience, in milliseconds. */
const SHORTEST_SEARCH_MS = 5000;

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
  async resolve(
    transaction: TrackedTransaction,
    attempt: Attempt,
    bounded: boolean,
  ): Promise<Verdict> {
    const { policy, connector, waitMs } = this.core;
    const { clock } = policy.settings;
    const until = clock.now() + Math.max(waitMs, SHORTEST_SEARCH_MS);
    const left = (): number => Math.min(until - clock.now(), attempt.remainingMs);
    // The attempt's own phase stays what it was when the answer was lost.
    const step: Acquiring = { phase: 'acquire', signal: bounded ? attempt.signal : undefined };
    let why = 'time ran out';
    while (left() > 0) {
      let client: driver.PoolClient;
      try {
        client = await connector.acquire(step, { leftMs: left() }, bounded);
      } catch (error) {
        return { unknown: `no connection could be made (${messageOf(error)})` };
      }
      try {
        const verdict = await this.askOn(client, transaction, left);
        client.release();
        return verdict;
      } catch (error) {
        client.release(true);
        if (isServerError(error) && (error as { code: string }).code.startsWith('42')) {
          return { unknown: `the server refuses to say (${messageOf(error)})` };
        }
        why = messageOf(error);
      }
    }
    return { unknown: why };
  }

  private async askOn(
    client: driver.PoolClient,
    transaction: TrackedTransaction,
    left: () => number,
  ): Promise<Verdict> {
    const { clock } = this.core.policy.settings;
    let expire: (reason: Error) => void = () => {};
    const expired = new Promise<never>((_, reject) => {
      expire = reject;
    });
    const timer = clock.setTimeout(() => expire(new Error('time ran out')), left());
    const asker: Asker = {
      ask: (text, values) => client.query(text, [...values]),
      serial: this.core.stateOf(client).serial,
      processID: internals(client).processID,
      now: () => clock.now(),
      openedBetween: (serial, until) => this.core.openedBetween(serial, until),
    };
    const wait = (ms: number): Promise<void> =>
      new Promise((resolve) => clock.setTimeout(resolve, ms));
    try {
      return await Promise.race([expired, resolveCommit(transaction, asker, wait)]);
    } finally {
      timer.cancel();
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
