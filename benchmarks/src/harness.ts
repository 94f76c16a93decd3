import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measure } from 'mitata';

/** One thing to be measured: runs for about the given time and says how long one operation took. */
export interface Subject {
  readonly name: string;
  /** @returns nanoseconds an operation */
  readonly run: (ms: number) => Promise<number>;
}

/** What must hold between two subjects. Ratios are of time: 2 means that it takes twice as long. */
export interface Gate {
  readonly subject: string;
  readonly against: string;
  readonly atMost: number;
}

interface Row {
  readonly subject: string;
  readonly against: string;
  readonly nsMedian: number;
  readonly ratioLowerQuartile: number;
  readonly ratioMedian: number;
  readonly atMost?: number;
  readonly ok?: boolean;
}

export interface Result {
  readonly title: string;
  /** The baseline against itself: a run in which that is off by more than 3 % is void. */
  readonly baselineDrift: number;
  readonly void: boolean;
  readonly rows: readonly Row[];
}

// Many short rounds: this finely interleaved, what slows the machine for a second slows every subject alike.
const ROUNDS = 31;
const SLICE = 3;
const MAX_DRIFT = 0.03;
const MAX_TRIES = 4;

/**
 * Measures subjects in interleaved rounds in one process. The baseline is measured twice a round, against
 * itself first. The gate is on the lower quartile of the ratios: what disturbs a round only ever
 * makes it slower.
 */
export async function compare(
  title: string,
  baseline: Subject,
  others: readonly Subject[],
  gates: readonly Gate[],
  msPerRound: number,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    const result = await run(title, baseline, others, gates, msPerRound);
    if (!result.void || attempt === MAX_TRIES) return result;
    console.log(`  (baseline off by ${(result.baselineDrift * 100).toFixed(1)} %: again)`);
  }
}

async function run(
  title: string,
  baseline: Subject,
  others: readonly Subject[],
  gates: readonly Gate[],
  msPerRound: number,
): Promise<Result> {
  const subjects = [baseline, ...others];
  const times = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  const drifts: number[] = [];
  const ms = msPerRound / SLICE;
  for (const subject of subjects) await subject.run(msPerRound);
  for (let round = 0; round < ROUNDS; round++) {
    const first = await baseline.run(ms);
    for (const subject of others) times.get(subject.name)?.push(await subject.run(ms));
    const again = await baseline.run(ms);
    times.get(baseline.name)?.push((first + again) / 2);
    drifts.push(again / first);
  }
  const drift = Math.abs(quantile(drifts, 0.5) - 1);
  const rows = others.map(({ name }): Row => {
    const gate = gates.find(({ subject }) => subject === name);
    const against = gate?.against ?? baseline.name;
    const mine = times.get(name) as number[];
    const base = times.get(against) as number[];
    const ratios = mine.map((time, i) => time / (base[i] as number));
    const lower = quantile(ratios, 0.25);
    return {
      subject: name,
      against,
      nsMedian: Math.round(quantile(mine, 0.5)),
      ratioLowerQuartile: round3(lower),
      ratioMedian: round3(quantile(ratios, 0.5)),
      ...(gate === undefined ? {} : { atMost: gate.atMost, ok: lower <= gate.atMost }),
    };
  });
  return { title, baselineDrift: round3(drift), void: drift > MAX_DRIFT, rows };
}

/** A subject that is one async call; awaited by an async function, as an application does. */
export function call(name: string, operation: () => Promise<unknown>): Subject {
  const caller = async (): Promise<void> => {
    await operation();
  };
  return {
    name,
    run: async (ms) => (await measure(caller, { min_cpu_time: ms * 1e6 })).p50,
  };
}

/** A subject of many workers that run one operation after the other. */
export function workers(name: string, count: number, operation: () => Promise<unknown>): Subject {
  return {
    name,
    run: async (ms) => {
      let done = 0;
      const start = performance.now();
      const end = start + ms;
      const work = async (): Promise<void> => {
        while (performance.now() < end) {
          await operation();
          done += 1;
        }
      };
      await Promise.all(Array.from({ length: count }, work));
      return ((performance.now() - start) * 1e6) / done;
    },
  };
}

export function print(result: Result): boolean {
  console.log(`\n${result.title}${result.void ? '  VOID: the machine was disturbed' : ''}`);
  for (const row of result.rows) {
    const verdict =
      row.ok === undefined ? '' : row.ok ? `  ≤ ${row.atMost} ok` : `  > ${row.atMost} MISSED`;
    const time =
      row.nsMedian < 1e5 ? `${row.nsMedian} ns` : `${(row.nsMedian / 1000).toFixed(0)} µs`;
    console.log(
      `  ${row.subject.padEnd(44)} ${time.padStart(10)}   ${row.ratioLowerQuartile.toFixed(2)}× (median ${row.ratioMedian.toFixed(2)}×) ${row.against}${verdict}`,
    );
  }
  return result.rows.every(({ ok }) => ok !== false);
}

/** Keeps results beside the package, git-ignored. */
export function save(name: string, data: unknown): void {
  const file = join(dirname(fileURLToPath(import.meta.url)), '..', 'out', `${name}.json`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(data, null, 2)}\n`);
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] as number;
  const high = sorted[Math.ceil(at)] as number;
  return low + (high - low) * (at - Math.floor(at));
}

function round3(value: number): number {
  return Math.round(value * 1000) / 1000;
}
