import { randomUUID } from 'node:crypto';
import { type BreakerSnapshot, type ProbeClaim, readSnapshot } from './breaker-store.js';

/**
 * What a breakers' file, `{ version: 1, breakers: { key: { snapshot?, probe? } } }`, keeps under each
 * key, as it was found: one bad entry does not spoil the others.
 */
export type Entries = Map<string, unknown>;

interface Save {
  readonly snapshot: BreakerSnapshot;
  readonly fence: string | undefined;
}

export interface Claim {
  readonly leaseMs: number;
  answer: ProbeClaim;
}

export type Change = Save | Claim;

/** By key, in the order in which they were asked for. */
export type Changes = Map<string, Change[]>;

interface Probe {
  readonly fence: string;
  /** Time of day; 0 once its verdict is kept. */
  readonly until: number;
  readonly leaseMs: number;
}

/** @returns the entries, or a sentence, without anything of the text, that says what is wrong */
export function parseEntries(text: string): Entries | string {
  if (text === '') return 'it is empty';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'it is not JSON';
  }
  if (!isObject(value)) return 'it does not hold an object';
  if (value['version'] !== 1) return 'its version is not 1';
  if (!isObject(value['breakers'])) return 'it holds no breakers';
  return new Map(Object.entries(value['breakers']));
}

export function serializeEntries(entries: Entries): string {
  // Without a prototype, so that `__proto__` is a key like any other.
  const breakers: Record<string, unknown> = Object.create(null);
  for (const [key, entry] of entries) breakers[key] = entry;
  return `${JSON.stringify({ version: 1, breakers })}\n`;
}

/** @returns what is kept, undefined if nothing is, or a sentence that says what is wrong with it */
export function snapshotOf(entry: unknown): BreakerSnapshot | string | undefined {
  const snapshot = isObject(entry) ? entry['snapshot'] : entry;
  if (snapshot === undefined) return undefined;
  const read = readSnapshot(snapshot);
  return typeof read === 'string' ? read : Object.freeze(read);
}

/**
 * Makes the changes and answers the claims. May be done again on other entries.
 *
 * @param now time of day
 * @returns false if nothing was changed
 */
export function applyChanges(entries: Entries, changes: Changes, now: number): boolean {
  let changed = false;
  for (const [key, list] of changes) {
    for (const change of list) {
      const entry = entries.get(key);
      const next = 'snapshot' in change ? saved(entry, change) : claimed(entry, change, now);
      if (next === undefined) continue;
      entries.set(key, { ...(isObject(entry) ? entry : {}), ...next });
      changed = true;
    }
  }
  return changed;
}

/** @returns undefined if another probe was granted since */
function saved(entry: unknown, { snapshot, fence }: Save): object | undefined {
  const probe = probeOf(entry);
  if (fence === undefined || probe === undefined) return { snapshot };
  if (probe.fence !== fence) return undefined;
  // The fence is kept after its verdict, or an older probe's could come after it.
  return { snapshot, probe: { ...probe, until: 0 } };
}

/** Answers the claim. @returns undefined if it changes nothing */
function claimed(entry: unknown, claim: Claim, now: number): object | undefined {
  const snapshot = snapshotOf(entry);
  const known = typeof snapshot === 'object' ? { snapshot } : {};
  const probe = probeOf(entry);
  if (probe !== undefined && probe.until > now) {
    claim.answer = { granted: false, ...known };
    // More than was granted can only be left if the time of day was set back.
    const until = Math.min(probe.until, now + probe.leaseMs);
    return until === probe.until ? undefined : { probe: { ...probe, until } };
  }
  const fence = randomUUID();
  claim.answer = { granted: true, fence, ...known };
  return { probe: { fence, until: now + claim.leaseMs, leaseMs: claim.leaseMs } };
}

function probeOf(entry: unknown): Probe | undefined {
  const probe = isObject(entry) ? entry['probe'] : undefined;
  if (!isObject(probe)) return undefined;
  const { fence, until, leaseMs } = probe;
  const valid = typeof fence === 'string' && Number.isFinite(until) && Number.isFinite(leaseMs);
  return valid ? (probe as unknown as Probe) : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
