import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NoServerError } from './drill.js';
import { broken, heapSlope, type Measured, type Soak, undecidable } from './soak-report.js';

const SOAKS: Readonly<Record<string, () => Promise<Soak>>> = {
  postgres: async () => (await import('./postgres/soak.js')).soakPostgres,
};
const USAGE = `Usage: npm run soak -- ${Object.keys(SOAKS).join('|')} [--minutes N] [--seed N]`;
const LINGER_MS = 3_000;

const { system, minutes, seed } = options(process.argv.slice(2));
const soak = await (SOAKS[system] as () => Promise<Soak>)();
const { gc } = globalThis;
if (gc === undefined) throw new Error('Run it with node --expose-gc.');
const stints: Measured[] = [];
try {
  await soak(minutes, seed, (stint) => {
    gc();
    gc();
    const measured = { ...stint, heapBytes: process.memoryUsage().heapUsed, handles: handles() };
    stints.push(measured);
    const { reads, writes, longestGapMs, heapBytes } = measured;
    console.log(
      `minute ${stints.length}: ${reads.ok} reads, ${writes.ok} writes, ${writes.unknown} unknown (${undecidable(stint)} over two crashes in a row), ` +
        `${writes.lost} lost, ${writes.doubled} doubled, gap ${longestGapMs} ms, heap ${(heapBytes / 1e6).toFixed(1)} MB, ` +
        `${measured.handles} handles; ${Object.entries(stint.faults)
          .map(([name, n]) => `${n} × ${name}`)
          .join(', ')}`,
    );
  });
} catch (error) {
  console.error(error instanceof NoServerError ? error.message : error);
  process.exit(error instanceof NoServerError ? 3 : 2);
}
const found = broken(stints, handles());
const file = fileURLToPath(new URL(`../out/soak-${system}.json`, import.meta.url));
await mkdir(dirname(file), { recursive: true });
const slope = heapSlope(stints);
await writeFile(
  file,
  `${JSON.stringify({ system, seed, minutes, slope, found, stints }, undefined, 1)}\n`,
);
console.log(found.length === 0 ? 'It held.' : `It did NOT hold:\n  ${found.join('\n  ')}`);
console.log(
  `The heap moves by ${Math.round(slope / 1000)} kB a minute. Report: ${relative(process.cwd(), file)}`,
);
process.exitCode = found.length === 0 ? 0 : 1;
setTimeout(() => process.exit(), LINGER_MS);

/** Sockets that are open; timers come and go. */
function handles(): number {
  return process.getActiveResourcesInfo().filter((name) => name.endsWith('Wrap')).length;
}

function options(args: readonly string[]): { system: string; minutes: number; seed: number } {
  const [name = '', ...rest] = args;
  const given = new Map<string, number>();
  for (let at = 0; at < rest.length; at += 2) given.set(String(rest[at]), Number(rest[at + 1]));
  const whole = (flag: string, usual: number): number => {
    const value = given.get(flag) ?? usual;
    given.delete(flag);
    return Number.isInteger(value) && value > 0 ? value : Number.NaN;
  };
  const read = { system: name, minutes: whole('--minutes', 10), seed: whole('--seed', 18) };
  if (!(name in SOAKS) || given.size > 0 || Number.isNaN(read.minutes + read.seed)) {
    console.error(USAGE);
    process.exit(2);
  }
  return read;
}
