import type { Audit } from '../audit.js';
import type { Lane } from '../drill.js';
import { summarise } from '../summary.js';
import { figure } from '../text.js';
import type { LaneResult } from '../verdict.js';
import { escapeHtml } from './escape.js';
import type { Report } from './report.js';

/** The verdict table: a lane is a column. */
export function summaryTable(results: readonly LaneResult[]): string {
  const rows = summarise(results).map(({ label, cells, grave }) => {
    const tds = cells.map((cell, n) => {
      const names = [own(results[n]?.lane), grave && cell !== '0' && cell !== '–' ? 'grave' : ''];
      return `<td class="${names.join(' ').trim()}">${escapeHtml(cell)}</td>`;
    });
    return `<tr><th>${escapeHtml(label)}</th>${tds.join('')}</tr>`;
  });
  return table(laneHead('', results), rows);
}

/** What ours has to keep, and whether it did. */
export function checkTable({ verdict }: Report): string {
  const rows = verdict.checks.map(
    ({ what, held, seen }) =>
      `<tr><td class="mark ${held ? 'held' : 'broken'}">${held ? '✔' : '✘'}</td><td class="text">${escapeHtml(what)}</td><td>${escapeHtml(seen)}</td></tr>`,
  );
  return table('<th></th><th style="text-align:left">Promise</th><th>Seen</th>', rows);
}

/** The real faults that each lane met. */
export function hitTable({ drill, results }: Report): string {
  const rows = drill.quotas.map(({ name, least }) => {
    const tds = results.map(
      ({ lane }) => `<td class="${own(lane)}">${figure(lane.hits.get(name) ?? 0)}</td>`,
    );
    return `<tr><th>${escapeHtml(name)}</th><td>${least}</td>${tds.join('')}</tr>`;
  });
  return table(laneHead('<th>At least</th>', results), rows);
}

/** Faults of the server and of the wires, in order. */
export function faultTable({ run }: Report): string {
  const rows = run.chronicle.events.map(({ at, until, label, kind, note = '' }) => {
    const lasted = kind === 'blow' || until === undefined ? '' : `${figure(until - at)} ms`;
    return `<tr><td>${(at / 1_000).toFixed(1)} s</td><td class="text">${escapeHtml(label)}</td><td>${lasted}</td><td>${escapeHtml(note)}</td></tr>`;
  });
  return table(
    '<th>At</th><th style="text-align:left">Fault</th><th>Lasted</th><th>Hit</th>',
    rows,
  );
}

/** Every way of writing of every lane. */
export function wayTable(results: readonly LaneResult[]): string {
  const rows = results.flatMap(({ lane, audit }) => wayRows(lane, audit));
  const heads = ['ok', 'failed', 'unknown', 'in the database', 'of them failed', 'of them unknown'];
  const cells = [...heads, 'lost', 'doubled'].map((head) => `<th>${head}</th>`);
  return table(`<th>Writes</th>${cells.join('')}`, rows);
}

/** Which errors the applications saw, by code or message. */
export function errorTable(results: readonly LaneResult[]): string {
  const rows = results.flatMap(({ lane }) =>
    [...lane.ledger.errors]
      .sort(([, a], [, b]) => b - a)
      .map(
        ([name, n]) =>
          `<tr><th>${escapeHtml(lane.title)}</th><td class="text">${escapeHtml(name)}</td><td>${figure(n)}</td></tr>`,
      ),
  );
  return table('<th>Application</th><th style="text-align:left">Error</th><th>Seen</th>', rows);
}

function wayRows(lane: Lane, audit: Audit): string[] {
  return audit.ways.map((way) => {
    const { ok, failed, unknown, present, failedApplied, unknownApplied, lost, doubled } = way;
    const cells = [ok, failed, unknown, present, failedApplied, unknownApplied, lost, doubled];
    const tds = cells.map((cell) => `<td>${figure(cell)}</td>`);
    return `<tr><th>${escapeHtml(`${lane.title}, ${way.way}`)}</th>${tds.join('')}</tr>`;
  });
}

function laneHead(between: string, results: readonly LaneResult[]): string {
  const heads = results.map(
    ({ lane }) =>
      `<th class="${own(lane)}">${escapeHtml(lane.title)}<small>${ROLES[lane.key]}</small></th>`,
  );
  return `<th></th>${between}${heads.join('')}`;
}

const ROLES: Record<Lane['key'], string> = {
  plain: 'the driver alone',
  older: 'the driver, one major back',
  idempotent: 'the driver at its safest',
  hand: 'a retry loop by hand',
  ours: 'ours',
};

function own(lane: Lane | undefined): string {
  return lane?.key === 'ours' ? 'own' : '';
}

function table(head: string, rows: readonly string[]): string {
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}
