import type { FaultEvent } from '../chronicle.js';
import { escapeHtml } from './escape.js';

/** A fault's name over the timeline. */
export interface FaultLabel {
  readonly text: string;
  readonly x: number;
  readonly anchor: 'start' | 'end';
  /** 0 is the lowest. */
  readonly row: number;
}

/** About the width of a character, px. */
const CHARACTER = 6.4;
const APART = 12;

/** Puts names where they do not run into each other; what follows its like closely shares a name. */
export function labelRows(
  events: readonly FaultEvent[],
  x: (ms: number) => number,
  width: number,
): FaultLabel[] {
  const groups: { label: string; at: number; times: number }[] = [];
  for (const { label, at } of events) {
    const last = groups.at(-1);
    if (last?.label === label && x(at) - x(last.at) < label.length * CHARACTER * (last.times + 1))
      last.times++;
    else groups.push({ label, at, times: 1 });
  }
  const taken: number[] = [];
  return groups.map(({ label, at, times }) => {
    const text = times > 1 ? `${label} × ${times}` : label;
    const length = text.length * CHARACTER;
    const anchor = x(at) + length > width ? 'end' : 'start';
    const left = anchor === 'start' ? x(at) : x(at) - length;
    let row = taken.findIndex((until) => until + APART < left);
    if (row === -1) row = taken.length;
    taken[row] = left + length;
    return { text, x: x(at), anchor, row };
  });
}

/** Outages and storms as areas, the beginning of each fault as a line, names above. */
export function faultLayer(
  events: readonly FaultEvent[],
  labels: readonly FaultLabel[],
  x: (ms: number) => number,
  place: { top: number; bottom: number; labelRow: number },
): string {
  const { top, bottom, labelRow } = place;
  const areas = events.map(({ kind, label, at, until = at, note = '' }) => {
    const title = `<title>${escapeHtml(`${label}, ${Math.round(until - at)} ms ${note}`)}</title>`;
    const area =
      kind === 'blow'
        ? ''
        : `<rect class="${kind}" x="${x(at)}" y="${top}" width="${Math.max(1, x(until) - x(at))}" height="${bottom - top}">${title}</rect>`;
    return `${area}<line class="fault" x1="${x(at)}" x2="${x(at)}" y1="${top - 6}" y2="${bottom}"/>`;
  });
  const names = labels.map(
    ({ text, x: at, anchor, row }) =>
      `<text x="${at}" y="${top - 10 - row * labelRow}" text-anchor="${anchor}">${escapeHtml(text)}</text>`,
  );
  return [...areas, ...names].join('\n');
}
