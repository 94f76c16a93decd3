/** The report's style sheet; light and dark follow the reader's system. */
export const STYLE: string = `
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --panel: #ffffff; --ink: #1d2226; --soft: #5f6a72; --line: #dfe3e6;
  --ok: #5b86a8; --ok-fill: #5b86a833; --bad: #c8322b; --amber: #c98500; --twice: #8a3ffc; --late: #c8322b;
  --good: #23744a; --outage: #c8322b24; --storm: #5f6a7218; --own: #5b86a814;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15181b; --panel: #1c2024; --ink: #e6e9eb; --soft: #9aa5ad; --line: #32383d;
    --ok: #7fb0d6; --ok-fill: #7fb0d633; --bad: #ff6b61; --amber: #f0b429; --twice: #be95ff; --late: #ff6b61;
    --good: #5cc890; --outage: #ff6b6130; --storm: #9aa5ad1c; --own: #7fb0d616;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 28px 72px; }
h1 { font-size: 27px; line-height: 1.25; margin: 0 0 6px; font-weight: 650; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 44px 0 12px; font-weight: 650; }
h3 { font-size: 15px; margin: 20px 0 8px; font-weight: 600; }
p, li { max-width: 78ch; }
p.lead { color: var(--soft); margin: 0 0 22px; }
.verdict { display: flex; gap: 14px; align-items: baseline; border-left: 4px solid var(--good);
  background: var(--panel); padding: 12px 18px; margin: 0 0 26px; }
.verdict.bad { border-color: var(--bad); } .verdict.void { border-color: var(--amber); }
.verdict strong { font-size: 17px; white-space: nowrap; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: var(--panel); font-variant-numeric: tabular-nums; }
th, td { padding: 8px 16px; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
thead th { font-weight: 600; border-bottom: 2px solid var(--line); white-space: nowrap; }
thead small { display: block; color: var(--soft); font-weight: 400; }
tbody th { font-weight: 400; }
td.own, th.own { background: var(--own); }
td.grave { color: var(--bad); font-weight: 650; }
td.text { text-align: left; }
.mark { width: 1%; font-weight: 700; } .mark.held { color: var(--good); } .mark.broken { color: var(--bad); }
figure { margin: 0; background: var(--panel); padding: 16px 18px 10px; }
figure svg { display: block; width: 100%; min-width: 860px; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 0 0 12px; color: var(--soft); font-size: 13px; }
.legend i { display: inline-block; width: 12px; height: 12px; margin-right: 7px; vertical-align: -1px; }
pre { background: var(--panel); border: 1px solid var(--line); padding: 14px 18px; overflow-x: auto; margin: 0;
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, monospace; }
code { font: 0.92em ui-monospace, SFMono-Regular, Menlo, monospace; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 24px; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; }
details { margin-top: 14px; } summary { cursor: pointer; color: var(--soft); }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .soft { fill: var(--soft); font-size: 11px; } svg .name { font-weight: 600; font-size: 13px; }
svg .grid { stroke: var(--line); } svg .band { fill: var(--ok-fill); stroke: var(--ok); stroke-width: 1; }
svg .failed { stroke: var(--bad); } svg .unknown { stroke: var(--amber); }
svg .twice { fill: var(--twice); } svg .late { fill: none; stroke: var(--late); }
svg .outage { fill: var(--outage); } svg .storm { fill: var(--storm); }
svg .fault { stroke: var(--soft); stroke-dasharray: 2 3; }
@media print { :root { --page: #fff; } main { padding: 0; } details > * { display: block; } }
`;
