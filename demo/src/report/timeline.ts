import type { FaultEvent } from '../chronicle.js';
import { BIN_MS, type Bin } from '../ledger.js';
import { figure } from '../text.js';
import type { LaneResult } from '../verdict.js';
import { escapeHtml } from './escape.js';
import { faultLayer, labelRows } from './timeline-faults.js';

const WIDTH = 1120;
const TITLE = 28;
const BAND = 72;
const STRIP = 13;
const PANEL: number = TITLE + BAND + 3 * STRIP + 14;
const LABEL_ROW = 16;

/** All lanes below each other on one axis of time, with the faults across them. Inline SVG. */
export function timeline(results: readonly LaneResult[], events: readonly FaultEvent[]): string {
  const bins = Math.max(1, ...results.map(({ lane }) => lane.ledger.bins.length));
  const totalMs = bins * BIN_MS;
  const x = (ms: number): number => round((ms / totalMs) * WIDTH);
  const labels = labelRows(events, x, WIDTH);
  const top = (Math.max(0, ...labels.map(({ row }) => row)) + 1) * LABEL_ROW + 8;
  const bottom = top + results.length * PANEL;
  const highest = ceiling(results.map(({ lane }) => lane.ledger.bins));
  const panels = results.map((result, n) => panel(result, top + n * PANEL, x, highest));
  return `<svg viewBox="0 0 ${WIDTH} ${bottom + 22}" role="img" aria-label="Timelines of the applications">
${faultLayer(events, labels, x, { top, bottom, labelRow: LABEL_ROW })}
${panels.join('\n')}
${axis(totalMs, x, bottom)}
</svg>`;
}

function panel(
  { lane, audit }: LaneResult,
  top: number,
  x: (ms: number) => number,
  highest: number,
): string {
  const { bins, totals } = lane.ledger;
  const floor = top + TITLE + BAND;
  const row = (n: number): number => floor + 3 + n * STRIP;
  const caption = `${figure(totals.ok)} acknowledged, ${figure(totals.failed + totals.unknown)} errors, ${audit.total.doubled} doubled`;
  return [
    `<text class="name" x="0" y="${top + 15}">${escapeHtml(lane.title)}</text>`,
    `<text class="soft" x="${WIDTH}" y="${top + 15}" text-anchor="end">${escapeHtml(caption)}</text>`,
    `<path class="band" d="${band(bins, floor, x, highest)}"/>`,
    `<line class="grid" x1="0" x2="${WIDTH}" y1="${floor}" y2="${floor}"/>`,
    ticks('failed', bins, ({ failed }) => failed, row(0), x),
    ticks('unknown', bins, ({ unknown }) => unknown, row(1), x),
    ...audit.marks.failedApplied.map(
      (at) => `<circle class="late" cx="${x(at)}" cy="${row(1) + 5}" r="3"/>`,
    ),
    ...audit.marks.doubled.map((at) => diamond(x(at), row(2) + 5)),
  ].join('\n');
}

function band(
  bins: readonly Bin[],
  floor: number,
  x: (ms: number) => number,
  highest: number,
): string {
  const points = bins.map(({ ok }, n) => {
    const y = round(floor - Math.min(1, ok / highest) * BAND);
    return `L${x(n * BIN_MS)} ${y}L${x((n + 1) * BIN_MS)} ${y}`;
  });
  return `M0 ${floor}${points.join('')}L${x(bins.length * BIN_MS)} ${floor}Z`;
}

function ticks(
  name: string,
  bins: readonly Bin[],
  count: (bin: Bin) => number,
  y: number,
  x: (ms: number) => number,
): string {
  const lines = bins.flatMap((bin, n) => {
    const found = count(bin);
    const at = x((n + 0.5) * BIN_MS);
    return found > 0 ? [`M${at} ${y}v${STRIP - 3}`] : [];
  });
  return `<path class="${name}" stroke-width="1.6" d="${lines.join('')}"/>`;
}

function diamond(cx: number, cy: number): string {
  return `<path class="twice" d="M${cx} ${cy - 5}l4 5l-4 5l-4 -5Z"/>`;
}

function axis(totalMs: number, x: (ms: number) => number, y: number): string {
  const step = [5, 10, 30, 60].find((seconds) => totalMs / 1_000 / seconds <= 14) ?? 120;
  const marks: string[] = [];
  for (let second = 0; second * 1_000 < totalMs; second += step) {
    const at = x(second * 1_000);
    if (at > WIDTH - 30) break;
    marks.push(`<text class="soft" x="${at}" y="${y + 15}">${second} s</text>`);
  }
  return marks.join('\n');
}

/** What the usual best bins reach: one lucky bin must not flatten all others. */
function ceiling(lanes: readonly (readonly Bin[])[]): number {
  const sorted = lanes.flatMap((bins) => bins.map(({ ok }) => ok)).sort((a, b) => a - b);
  return Math.max(1, sorted[Math.floor(sorted.length * 0.99)] ?? 1);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
