import { escapeHtml } from './escape.js';
import type { Report } from './report.js';
import { STYLE } from './style.js';
import { checkTable, errorTable, faultTable, hitTable, summaryTable, wayTable } from './tables.js';
import { timeline } from './timeline.js';

/** The report as one file that needs nothing else. */
export function reportHtml(report: Report): string {
  const { drill, run, outcome, results } = report;
  const title = `Fault drill: ${drill.title}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body><main>
<h1>${escapeHtml(title)}</h1>
<p class="lead">${results.length === 3 ? 'Three' : 'Four'} applications worked against one ${escapeHtml(drill.title)} while it was restarted, killed and cut off for ${run.seconds} seconds. This is what each of them was told, and what the server holds.</p>
${banner(report)}
${summaryTable(results)}

<h2>What happened when</h2>
${LEGEND}
<figure class="scroll">${timeline(results, run.chronicle.events)}</figure>
<details><summary>Every fault in order</summary>${faultTable(report)}</details>

<h2>What ours has to keep</h2>
${checkTable(report)}

<h2>Single requests broken by the proxies</h2>
<p>A run in which an application met fewer than this proves nothing and ends with exit code 2.</p>
${hitTable(report)}
<details><summary>Way by way</summary>${wayTable(results)}</details>
<details><summary>Errors by code</summary>${errorTable(results)}</details>

${outcome.quotes.map(({ title: name, text }) => `<h2>${escapeHtml(name)}</h2>\n<pre>${escapeHtml(text)}</pre>`).join('\n')}

<h2>How it was counted</h2>
<ul>${outcome.method.map((sentence) => `<li>${escapeHtml(sentence)}</li>`).join('\n')}</ul>

<h2>This run</h2>
${facts(report)}
</main></body>
</html>
`;
}

const LEGEND = `<div class="legend">
<span><i style="background:var(--ok-fill);border-top:2px solid var(--ok)"></i>successes per 100 ms</span>
<span><i style="background:var(--bad);width:3px"></i>errors</span>
<span><i style="background:var(--amber);width:3px"></i>“outcome unknown”</span>
<span><i style="border:1.5px solid var(--late);border-radius:50%;width:9px;height:9px"></i>failed, but applied</span>
<span><i style="background:var(--twice);transform:rotate(45deg);width:9px;height:9px"></i>doubled</span>
<span><i style="background:var(--outage)"></i>server down</span>
<span><i style="background:var(--storm)"></i>storm</span>
</div>`;

function banner({ verdict }: Report): string {
  const [name, word, why] =
    verdict.void.length > 0
      ? ['void', 'Void', `Too few real faults: ${verdict.void.join('; ')}.`]
      : verdict.held
        ? ['', 'Outlast held', `All ${verdict.checks.length} promises were kept.`]
        : [
            'bad',
            'Outlast did not hold',
            `Broken: ${verdict.checks
              .filter(({ held }) => !held)
              .map(({ what, seen }) => `${what} (${seen})`)
              .join('; ')}.`,
          ];
  return `<div class="verdict ${name}"><strong>${word}</strong><span>${escapeHtml(why ?? '')}</span></div>`;
}

function facts({ run, outcome, command, at, eventLoopMaxMs }: Report): string {
  const entries: [string, string][] = [
    ['Command', command],
    ['Seed', String(run.seed)],
    ['Made', at],
    ['Node.js', `${process.version} on ${process.platform} ${process.arch}`],
    ...Object.entries(outcome.versions),
    ['Longest outage', `${Math.round(run.chronicle.longestOutageMs)} ms`],
    ['This process stood still', `${eventLoopMaxMs} ms at most`],
  ];
  const lines = entries.map(
    ([name, value]) => `<dt>${escapeHtml(name)}</dt><dd><code>${escapeHtml(value)}</code></dd>`,
  );
  return `<dl>${lines.join('\n')}</dl>`;
}
