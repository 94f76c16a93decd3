import type { Report } from './report.js';

/** The report for programs. */
export function reportJson(report: Report): object {
  const { drill, run, outcome, verdict, results } = report;
  return {
    drill: drill.system,
    held: verdict.held,
    void: verdict.void,
    exitCode: verdict.exitCode,
    seed: run.seed,
    seconds: run.seconds,
    command: report.command,
    at: report.at,
    versions: outcome.versions,
    longestOutageMs: Math.round(run.chronicle.longestOutageMs),
    eventLoopMaxMs: report.eventLoopMaxMs,
    checks: verdict.checks,
    lanes: results.map(({ lane, audit }) => ({
      lane: lane.key,
      title: lane.title,
      operations: lane.ledger.totals,
      reads: lane.ledger.reads,
      longestGap: lane.ledger.longestGap,
      audit,
      errors: Object.fromEntries(lane.ledger.errors),
      hits: Object.fromEntries(lane.hits),
      bins: lane.ledger.bins.map(({ ok, failed, unknown }) => [ok, failed, unknown]),
    })),
    faults: run.chronicle.events,
  };
}
