import type { WriteStream } from 'node:tty';
import type { FaultEvent } from './chronicle.js';
import type { Run } from './drill.js';
import { columns, figure } from './text.js';

const REDRAW_MS = 250;
const LINE_MS = 4_000;
const SHOWN_FAULTS = 6;

/** What happens, while it happens: redrawn in place on a terminal, else a line now and then. */
export class Live {
  readonly #run: Run;
  readonly #out: WriteStream;
  readonly #timer: NodeJS.Timeout;
  #drawn = 0;
  #nextLine = LINE_MS;
  #begun = 0;
  #ended = 0;
  #before: { at: number; ok: number[] } = { at: 0, ok: [] };

  constructor(run: Run, out: WriteStream) {
    this.#run = run;
    this.#out = out;
    this.#timer = setInterval(() => this.#look(), REDRAW_MS);
  }

  /** Shows the last state and nothing more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#look();
  }

  #look(): void {
    if (this.#run.lanes.length === 0) return;
    if (this.#out.isTTY) this.#redraw();
    else this.#print();
  }

  #redraw(): void {
    const { chronicle, seconds } = this.#run;
    const faults = chronicle.events.slice(-SHOWN_FAULTS).map((event) => `  ${told(event)}`);
    const share = Math.min(1, chronicle.now() / seconds / 1_000);
    const bar = '━'.repeat(Math.round(share * 40)).padEnd(40, '╌');
    const width = this.#out.columns || 80;
    const lines = [
      `${clock(chronicle.now())}  ${bar}`,
      '',
      ...this.#table().split('\n'),
      '',
      ...faults,
    ];
    const text = lines.map((line) => `${line.slice(0, width - 1)}\n`).join('');
    const back = this.#drawn > 0 ? `\x1b[${this.#drawn}A\x1b[J` : '';
    this.#out.write(back + text);
    this.#drawn = lines.length;
  }

  #table(): string {
    const { chronicle, lanes } = this.#run;
    const now = chronicle.now();
    const rates = lanes.map(({ ledger }, n) => {
      const passed = Math.max(1, now - this.#before.at) / 1_000;
      return (ledger.totals.ok - (this.#before.ok[n] ?? 0)) / passed;
    });
    this.#before = { at: now, ok: lanes.map(({ ledger }) => ledger.totals.ok) };
    return columns([
      ['', 'ok/s', 'ok', 'errors', 'unknown', 'silent, ms', 'longest, ms'],
      ...lanes.map(({ title, key, ledger }, n) => [
        title,
        figure(rates[n] ?? 0),
        figure(ledger.totals.ok),
        figure(ledger.totals.failed),
        key === 'ours' ? figure(ledger.totals.unknown) : '–',
        figure(ledger.gapMs),
        figure(ledger.longestGap.ms),
      ]),
    ]);
  }

  #print(): void {
    const { chronicle, lanes } = this.#run;
    const { events } = chronicle;
    for (; this.#begun < events.length; this.#begun++) {
      const event = events[this.#begun] as FaultEvent;
      // a moment is told once, with what it did
      if (event.kind !== 'blow') this.#out.write(`${clock(event.at)}  ▶ ${event.label}\n`);
    }
    for (; events[this.#ended]?.until !== undefined; this.#ended++)
      this.#out.write(`${told(events[this.#ended] as FaultEvent)}\n`);
    if (chronicle.now() < this.#nextLine) return;
    this.#nextLine = chronicle.now() + LINE_MS;
    const state = lanes.map(({ title, ledger: { totals } }) => {
      const unknown = totals.unknown > 0 ? `, ${totals.unknown} unknown` : '';
      return `${title}: ${figure(totals.ok)} ok, ${figure(totals.failed)} errors${unknown}`;
    });
    this.#out.write(`${clock(chronicle.now())}  ${state.join(' | ')}\n`);
  }
}

function told({ at, until, kind, label, note }: FaultEvent): string {
  if (until === undefined) return `${clock(at)}  ▶ ${label} …`;
  const parts = [
    ...(kind === 'blow' ? [] : [`${figure(until - at)} ms`]),
    ...(note === undefined ? [] : [note]),
  ];
  return `${clock(kind === 'blow' ? at : until)}  ■ ${label}: ${parts.join(', ')}`;
}

function clock(ms: number): string {
  return `${(ms / 1_000).toFixed(1).padStart(6)} s`;
}
