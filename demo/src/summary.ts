import { columns, figure } from './text.js';
import type { LaneResult } from './verdict.js';

/** A row of the verdict table: one cell a lane. */
export interface SummaryRow {
  readonly label: string;
  readonly cells: readonly string[];
  /** Whether a figure above 0 in it is bad news. */
  readonly grave: boolean;
}

/** The verdict table, the same on the terminal and in the report. */
export function summarise(results: readonly LaneResult[]): SummaryRow[] {
  const row = (
    label: string,
    cell: (result: LaneResult) => number | string,
    grave = false,
  ): SummaryRow => ({
    label,
    grave,
    cells: results.map((result) => {
      const value = cell(result);
      return typeof value === 'string' ? value : figure(value);
    }),
  });
  return [
    row('Operations acknowledged', ({ lane }) => lane.ledger.totals.ok),
    row('Errors seen, reads', ({ lane: { ledger } }) => ledger.reads.failed + ledger.reads.unknown),
    row('Errors seen, writes', ({ audit: { total } }) => total.failed + total.unknown),
    row('… of them typed “outcome unknown”', ({ lane, audit: { total } }) =>
      lane.key === 'ours' ? total.unknown : '–',
    ),
    row('Never settled', ({ audit }) => audit.total.pending, true),
    row('Failed, but applied', ({ audit }) => audit.total.failedApplied, true),
    row('Acknowledged, but lost', ({ audit }) => audit.total.lost, true),
    row('Doubled', ({ audit }) => audit.total.doubled, true),
    row('Longest gap, ms', ({ lane }) => Math.round(lane.ledger.longestGap.ms)),
  ];
}

/** The summary for a terminal. */
export function summaryText(results: readonly LaneResult[]): string {
  const table = summarise(results);
  const titles = results.map(({ lane }) => lane.title);
  return columns([['', ...titles], ...table.map(({ label, cells }) => [label, ...cells])]);
}
