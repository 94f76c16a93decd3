import type { Audit } from './audit.js';
import type { Drill, Lane } from './drill.js';
import { figure } from './text.js';

/** How much longer than the server's outage nobody's work may stand still, ms. */
const GRACE_MS = 250;

/** A lane, judged. */
export interface LaneResult {
  readonly lane: Lane;
  readonly audit: Audit;
}

/** One thing that ours has to keep. */
interface Check {
  readonly what: string;
  readonly held: boolean;
  /** The figures. */
  readonly seen: string;
}

export interface Verdict {
  /** Why the run proves nothing; empty if it does. */
  readonly void: readonly string[];
  readonly checks: readonly Check[];
  readonly held: boolean;
  /** 0 held, 1 did not hold, 2 void. */
  readonly exitCode: 0 | 1 | 2;
}

/** Judges a run: whether it proves anything, and whether ours held. */
export function judge(
  drill: Drill,
  results: readonly LaneResult[],
  longestOutageMs: number,
  canarySeenIn: readonly string[],
  stoodStillMs: number,
): Verdict {
  const missing = results.flatMap(({ lane }) =>
    drill.quotas
      .filter(({ name, least }) => (lane.hits.get(name) ?? 0) < least)
      .map(
        ({ name, least }) =>
          `${lane.title}: ${name}: ${lane.hits.get(name) ?? 0}, and ${least} are needed`,
      ),
  );
  const ours = results.find(({ lane }) => lane.key === 'ours');
  if (!ours) return { void: ['no lane of ours'], checks: [], held: false, exitCode: 2 };
  const checks = [
    ...promised(drill, ours),
    ...rows(drill, ours),
    gap(ours.lane, longestOutageMs, drill.graceMs ?? GRACE_MS, stoodStillMs),
    {
      what: 'The password in its address is seen nowhere',
      held: canarySeenIn.length === 0,
      seen: canarySeenIn.length === 0 ? 'output, report, JSON and errors' : canarySeenIn.join(', '),
    },
  ];
  const held = checks.every((check) => check.held);
  return { void: missing, checks, held, exitCode: missing.length > 0 ? 2 : held ? 0 : 1 };
}

function promised(drill: Drill, { lane, audit }: LaneResult): Check[] {
  const { ok, failed, unknown } = lane.ledger.reads;
  const reads = {
    what: 'Reads: no error',
    held: ok > 0 && failed + unknown === 0,
    seen: `${figure(ok)} ok, ${failed + unknown} errors`,
  };
  const writes = drill.promises.map(({ way, mayBeUnknown }) => {
    const found = audit.ways.find((one) => one.way === way);
    const { ok = 0, failed = 0, unknown = 0, pending = 0 } = found ?? {};
    return {
      what: mayBeUnknown
        ? `${capital(way)}: no error but “outcome unknown”`
        : `${capital(way)}: no error at all`,
      held: ok > 0 && failed + pending === 0 && (mayBeUnknown || unknown === 0),
      seen: `${figure(ok)} ok, ${unknown} unknown, ${failed} failed${pending > 0 ? `, ${pending} never settled` : ''}`,
    };
  });
  return drill.reads === false ? writes : [reads, ...writes];
}

function rows({ transactions = true }: Drill, { audit }: LaneResult): Check[] {
  const { ok, unknown, present, unknownApplied, failedApplied, lost, doubled } = audit.total;
  return [
    { what: 'Nothing acknowledged is lost', held: lost === 0, seen: `${lost} lost` },
    { what: 'Nothing is there twice', held: doubled === 0, seen: `${doubled} doubled` },
    {
      what: '“Not applied” is never said of what is there',
      held: failedApplied === 0,
      seen: `${failedApplied} lies`,
    },
    ...(transactions
      ? [{ what: 'No transaction is torn', held: audit.torn === 0, seen: `${audit.torn} torn` }]
      : []),
    {
      what: 'The ledger adds up: applied = acknowledged + unknown that are there',
      held: audit.addsUp && audit.strangers === 0 && present === ok + unknownApplied,
      seen: `${figure(present)} = ${figure(ok)} + ${unknownApplied} (of ${unknown} unknown)`,
    },
  ];
}

/** While the process stands still, as it does on a busy machine, none of its timers can fire. */
function gap(
  { ledger }: Lane,
  longestOutageMs: number,
  graceMs: number,
  stoodStillMs: number,
): Check {
  return {
    what: `Longest gap between two successes ≤ longest outage + ${graceMs} ms + what this process stood still`,
    held: ledger.longestGap.ms <= longestOutageMs + graceMs + stoodStillMs,
    seen: `${figure(ledger.longestGap.ms)} ms; outage ${figure(longestOutageMs)} ms, stood still ${figure(stoodStillMs)} ms`,
  };
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
