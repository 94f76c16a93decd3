import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { audit } from './audit.js';
import { findCanary } from './canary.js';
import { type Drill, NoServerError, type Outcome, type Run } from './drill.js';
import { Live } from './live.js';
import { type Options, parseOptions, UsageError, usage } from './options.js';
import { Recorder } from './output.js';
import { DRILLS } from './registry.js';
import { reportHtml } from './report/html.js';
import { reportJson } from './report/json.js';
import type { Report } from './report/report.js';
import { newRun } from './run.js';
import { summaryText } from './summary.js';
import { columns, figure } from './text.js';
import { judge, type LaneResult } from './verdict.js';

const HTML = fileURLToPath(new URL('../out/report.html', import.meta.url));
const JSON_FILE = fileURLToPath(new URL('../out/report.json', import.meta.url));
/** What starting, settling and counting may take beside the script, ms. */
const SPARE_MS = 120_000;
const LINGER_MS = 3_000;

const systems = Object.keys(DRILLS);
try {
  const options = parseOptions(process.argv.slice(2), systems);
  if (options.help) console.log(usage(systems));
  else await main(options);
} catch (error) {
  if (error instanceof UsageError) console.error(`${error.message}\n\n${usage(systems)}`);
  else console.error(error instanceof NoServerError ? error.message : error);
  // workers may still be at it, and their server is gone
  process.exit(error instanceof NoServerError ? 3 : 2);
}
// What never settled must not keep the process. Nor may it end by itself: Node 20 was seen to spin for ever
// in its clean-up (CleanupHandles, uv_run), after thousands of sockets that were ended by a reset.
setTimeout(() => process.exit(), LINGER_MS);

async function main(options: Options): Promise<void> {
  const recorder = new Recorder();
  const drill = await (DRILLS[options.system] as () => Promise<Drill>)();
  const run = newRun(options.seed, options.seconds);
  const out = options.json ? process.stderr : process.stdout;
  const command = `npm run demo -- ${options.system} --seed ${run.seed} --seconds ${run.seconds}`;
  out.write(
    `Fault drill: ${drill.title}, seed ${run.seed}, ${run.seconds} s. Starting a server.\n`,
  );
  const giveUp = setTimeout(
    () => {
      out.write('The drill did not come to its end in time.\n');
      process.exit(2);
    },
    run.seconds * 1_000 + SPARE_MS,
  );
  const stalls = monitorEventLoopDelay({ resolution: 10 });
  stalls.enable();
  const live = new Live(run, out);
  let outcome: Outcome;
  try {
    outcome = await drill.run(run);
  } finally {
    live.stop();
    stalls.disable();
    clearTimeout(giveUp);
  }
  const report = conclude(drill, run, outcome, recorder, {
    command,
    at: new Date().toISOString(),
    eventLoopMaxMs: Math.round(stalls.max / 1e6),
  });
  const json = JSON.stringify(reportJson(report), undefined, 1);
  await mkdir(dirname(HTML), { recursive: true });
  await writeFile(HTML, reportHtml(report));
  await writeFile(JSON_FILE, `${json}\n`);
  out.write(verdictText(report));
  if (options.json) process.stdout.write(`${json}\n`);
  process.exitCode = report.verdict.exitCode;
}

/** Judges twice, for the report itself is one of the places where the password must not stand. */
function conclude(
  drill: Drill,
  run: Run,
  outcome: Outcome,
  recorder: Recorder,
  rest: Pick<Report, 'command' | 'at' | 'eventLoopMaxMs'>,
): Report {
  const results: LaneResult[] = run.lanes.map((lane) => {
    if (!lane.facts) throw new Error(`Nobody counted the rows of ${lane.title}.`);
    return { lane, audit: audit(lane.ledger, lane.facts) };
  });
  const outageMs = run.chronicle.longestOutageMs;
  const judged = (seenIn: string[]): Report => ({
    ...{ drill, run, outcome, results, ...rest },
    verdict: judge(drill, results, outageMs, seenIn, rest.eventLoopMaxMs),
  });
  const draft = judged([]);
  const texts = {
    output: recorder.text + verdictText(draft),
    report: reportHtml(draft),
    JSON: JSON.stringify(reportJson(draft)),
  };
  const ours = run.lanes.find(({ key }) => key === 'ours');
  return judged(findCanary(run.canary, texts, ours?.ledger.samples ?? []));
}

function verdictText({ verdict, results, run, drill }: Report): string {
  const checks = verdict.checks.map(
    ({ what, held, seen }) => `  ${held ? '✔' : '✘'} ${what}: ${seen}`,
  );
  const hits = columns([
    ['', ...run.lanes.map(({ title }) => title)],
    ...drill.quotas.map(({ name, least }) => [
      `${name} (${least} needed)`,
      ...run.lanes.map((lane) => String(lane.hits.get(name) ?? 0)),
    ]),
  ]);
  const answer =
    verdict.void.length > 0
      ? `The run proves nothing, too few real faults: ${verdict.void.join('; ')}.`
      : verdict.held
        ? '@outlast held.'
        : '@outlast did NOT hold.';
  return [
    '',
    summaryText(results),
    '',
    `Longest outage of the server: ${figure(run.chronicle.longestOutageMs)} ms. Single requests broken:`,
    hits,
    '',
    'What @outlast has to keep:',
    ...checks,
    '',
    answer,
    `Report: ${relative(process.cwd(), HTML)}`,
    '',
  ].join('\n');
}
