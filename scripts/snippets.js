// `npm run docs`: every ```ts fence of docs/*.md and packages/*/README.md is type-checked against the sources,
// then run; links between pages must lead somewhere. Plain JavaScript without dependencies but the compiler.
//
//   ```ts           type-checked, then run: must end by itself, with exit code 0, within ten seconds
//   ```ts no-run    type-checked only: needs a server
//   ```ts vitest    type-checked, then run by vitest
//
// What a snippet must show: `console.log(x); // → text` is what is printed, `expression; // → value` what
// `util.inspect` makes of it (the arrow may also stand on the next line), and a ```text fence that follows is
// all of its output. `…` stands for anything.
// `<!-- snippet: code -->` before a fence is code that readers do not see, such as `declare const id: string;`.
//
// Whether all this fails when it should is tried on `snippets-wrong.md`.
//
//   node scripts/snippets.js [--keep] [part of a path, or path:line …]

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brokenLinks } from './snippets-links.js';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const TEN_SECONDS = 10_000;
const MARKS = ['no-run', 'vitest'];

const keep = process.argv.includes('--keep');
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));

/** What a snippet calls instead of a line with an arrow. Compiled with it. */
const CHECK = `
import { formatWithOptions, inspect } from 'node:util';

const missing = new Set<number>();
let file = '';

/** Lines whose arrow must be met at least once. */
export function plan(where: string, lines: readonly number[]): void {
  file = where;
  for (const line of lines) missing.add(line);
}

export function value<T>(line: number, expected: string, it: T): T {
  compare(line, expected, inspect(it, SHOWN));
  return it;
}

export function log(line: number, expected: string, ...args: unknown[]): void {
  console.log(...args);
  compare(line, expected, formatWithOptions(SHOWN, ...args));
}

const SHOWN = { breakLength: Infinity, compact: true, depth: 6 } as const;

function compare(line: number, expected: string, got: string): void {
  missing.delete(line);
  const pattern = expected.split('…').map((part) => part.replace(/[.*+?^$()|[\\]{}\\\\]/g, '\\\\$&'));
  if (new RegExp('^' + pattern.join('.*') + '$', 's').test(got)) return;
  console.error(file + ':' + line + ': says → ' + expected + '\\n' + ' '.repeat(4) + 'but it is ' + got);
  process.exitCode = 1;
}

process.on('exit', () => {
  for (const line of missing) {
    console.error(file + ':' + line + ': has an arrow, but was never reached');
    process.exitCode = 1;
  }
});
`;

// --- reading ----------------------------------------------------------------------------------------------

function markdownFiles() {
  const docs = list('docs').map((name) => path.posix.join('docs', name));
  const readmes = list('packages').map((name) => path.posix.join('packages', name, 'README.md'));
  return [...docs, ...readmes].filter(
    (file) => file.endsWith('.md') && fs.existsSync(path.join(ROOT, file)),
  );
}

function list(folder) {
  return fs.readdirSync(path.join(ROOT, folder)).sort();
}

/** The snippets of one file, and what is wrong with how they are written. */
function snippetsOf(file) {
  const lines = fs.readFileSync(path.join(ROOT, file), 'utf8').split('\n');
  const snippets = [];
  const problems = [];
  let hidden;
  let awaitsOutput;
  let fails;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at];
    if (line.startsWith('#')) awaitsOutput = undefined;
    if (line.startsWith('<!-- snippet:')) {
      const end = endOf(lines, at, (text) => text.trimEnd().endsWith('-->'));
      const code = lines.slice(at, end + 1);
      code[0] = code[0].replace('<!-- snippet:', '');
      code[code.length - 1] = code[code.length - 1].replace('-->', '');
      hidden = { at, code };
      at = end;
      continue;
    }
    const wrong = /^<!-- fails: (.*) -->$/.exec(line);
    if (wrong !== null) fails = wrong[1];
    const fence = /^(\s*)(`{3,})\s*(\w*)\s*(.*)$/.exec(line);
    if (fence === null) continue;
    const [, indent, ticks, language, rest] = fence;
    const end = endOf(lines, at + 1, (text) => text.trim() === ticks);
    const code = lines.slice(at + 1, end);
    const where = `${file}:${at + 1}`;
    at = end;
    if (language === 'text' && awaitsOutput !== undefined) awaitsOutput.output = code;
    awaitsOutput = undefined;
    const found = [];
    if (['typescript', 'mts', 'tsx'].includes(language)) found.push('write ```ts');
    const marks = language === 'ts' ? rest.split(/\s+/).filter(Boolean) : [];
    const unknown = marks.find((mark) => !MARKS.includes(mark));
    if (unknown !== undefined) found.push(`'${unknown}' is none of ${MARKS.join(', ')}`);
    if (language === 'ts' && indent !== '') {
      found.push('an indented snippet is not checked; move it left');
    }
    problems.push(...found.map((problem) => `${where}: ${problem}`));
    if (language !== 'ts' && found.length === 0) continue;
    const snippet = { file, line: end - code.length, where, code, hidden, marks, fails };
    snippet.misspelt = found.length > 0;
    fails = undefined;
    hidden = undefined;
    awaitsOutput = snippet;
    snippets.push(snippet);
  }
  return { snippets, problems };
}

function endOf(lines, from, isEnd) {
  let at = from;
  while (at < lines.length - 1 && !isEnd(lines[at])) at += 1;
  return at;
}

/** A module whose lines have the numbers that they have in the document. */
function moduleOf(snippet, toCheck) {
  const { file, line, code, hidden } = snippet;
  const lines = Array(line).fill('');
  const arrows = [];
  const problems = [];
  for (const [i, text] of (hidden?.code ?? []).entries()) lines[hidden.at + i] = text;
  for (const [i, text] of code.entries()) {
    lines[line + i] = text;
    const arrow = /^(.*)\/\/ → (.*)$/.exec(text);
    if (arrow === null) continue;
    // Behind its statement, or on the next line.
    const at = line + (arrow[1].trim() === '' ? i - 1 : i);
    const statement = at === line + i ? arrow[1].trimEnd() : lines[at];
    const checked = withCheck(statement, arrow[2].trim(), at + 1);
    if (checked === undefined)
      problems.push(`${file}:${at + 1}: → belongs to a whole statement of one line`);
    else lines[at] = checked;
    arrows.push(at + 1);
  }
  const first = `import * as __ from '${toCheck}'; __.plan('${file}', [${arrows}]); `;
  if (arrows.length > 0) lines[0] = first + lines[0];
  return { text: `${lines.join('\n')}\nexport {};\n`, problems };
}

/** `console.log(x);`, `const x = expression;`, `return expression;` or `expression;` */
function withCheck(statement, expected, number) {
  const facts = `${number}, ${JSON.stringify(expected)}`;
  const logged = /^(\s*)console\.log\((.*)\);$/.exec(statement);
  if (logged !== null) return `${logged[1]}__.log(${facts}, ${logged[2]});`;
  const parts = /^(\s*(?:(?:const|let) [^=]+ = |return )?)([^{}].*);$/.exec(statement);
  return parts === null ? undefined : `${parts[1]}__.value(${facts}, ${parts[2]});`;
}

// --- compiling --------------------------------------------------------------------------------------------

function write(folder, name, text) {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, typeof text === 'string' ? text : JSON.stringify(text, null, 2));
}

function extract(snippets, folder) {
  const problems = [];
  write(folder, 'src/check.ts', CHECK);
  for (const snippet of snippets) {
    const test = snippet.marks.includes('vitest') ? '.test' : '';
    snippet.name = `${snippet.file.replace(/\.md$/, '')}.${snippet.line}${test}`;
    const source = path.posix.join('src', `${snippet.name}.ts`);
    const toCheck = path.posix.relative(path.posix.dirname(source), 'src/check.js');
    const module = moduleOf(snippet, toCheck);
    problems.push(...module.problems);
    write(folder, source, module.text);
  }
  const base = path.posix.relative(posix(folder), posix(path.join(ROOT, 'tsconfig.base.json')));
  write(folder, 'tsconfig.json', {
    extends: base,
    compilerOptions: {
      composite: false,
      declaration: false,
      declarationMap: false,
      isolatedDeclarations: false,
      // What a reader's own project need not have on.
      noPropertyAccessFromIndexSignature: false,
      erasableSyntaxOnly: false,
      moduleDetection: 'force',
      customConditions: ['source'],
      rootDir: path.posix.dirname(base),
      outDir: 'out',
    },
    // A package that is found by its link counts as somebody else's, and would not be emitted.
    include: ['src', path.posix.join(path.posix.dirname(base), 'packages/*/src')],
  });
  // Without it vitest would find the repository's own.
  write(folder, 'vitest.config.js', 'export default { test: { retry: 0 } };\n');
  return problems;
}

/** The sources are compiled along with the snippets: at run time packages are found among what came of them. */
function linkPackages(folder) {
  write(folder, 'out/package.json', { type: 'module' });
  for (const name of list('packages')) {
    const file = path.join(ROOT, 'packages', name, 'package.json');
    if (!fs.existsSync(file)) continue;
    const { name: fullName, exports } = JSON.parse(fs.readFileSync(file, 'utf8'));
    const compiled = Object.entries(exports).map(([key, target]) => [
      key,
      target.source?.replace(/\.ts$/, '.js') ?? target,
    ]);
    const place = path.posix.join('out/packages', name);
    write(folder, path.posix.join(place, 'package.json'), {
      name: fullName,
      type: 'module',
      exports: Object.fromEntries(compiled),
    });
    const link = path.join(folder, 'out/node_modules', fullName);
    fs.mkdirSync(path.dirname(link), { recursive: true });
    fs.symlinkSync(path.join(folder, place), link, 'junction');
  }
}

async function compile(folder) {
  const tsc = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '-p', path.join(folder, 'tsconfig.json'), '--pretty', 'false'];
  const { code, output } = await run(args, { cwd: ROOT, timeoutMs: 60_000 });
  if (code === 0) return [];
  const source = posix(path.relative(ROOT, path.join(folder, 'src')));
  const problems = output
    .trim()
    .split('\n')
    .map((line) =>
      line.startsWith(source)
        ? line
            .slice(source.length + 1)
            .replace(/^(.+?)\.\d+(\.test)?\.ts\((\d+),(\d+)\)/, '$1.md:$3:$4')
        : line,
    );
  return problems[0] === '' ? [`tsc ended with ${code}`] : problems;
}

// --- running ----------------------------------------------------------------------------------------------

/** Both outputs go to one file, for that keeps their order. */
async function run(args, { cwd, timeoutMs }) {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'outlast-docs-')), 'output');
  const output = fs.openSync(file, 'a');
  const { FORCE_COLOR: _forced, ...env } = process.env;
  const child = spawn(process.execPath, args, {
    cwd,
    // The root is for hidden code that compares a table of the docs with the sources.
    env: { ...env, NO_COLOR: '1', TZ: 'UTC', OUTLAST_ROOT: ROOT },
    stdio: ['ignore', output, output],
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  const code = await new Promise((resolve) => {
    child.on('error', () => resolve(-1));
    child.on('exit', resolve);
  });
  clearTimeout(timer);
  fs.closeSync(output);
  const text = fs.readFileSync(file, 'utf8');
  fs.rmSync(path.dirname(file), { recursive: true });
  return { code, late, output: text };
}

async function runSnippet(snippet, folder) {
  const { where, name, marks, output: expected } = snippet;
  const script = path.join(folder, 'out', posix(path.relative(ROOT, folder)), 'src', `${name}.js`);
  const vitest = path.join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const args = marks.includes('vitest')
    ? [
        vitest,
        'run',
        '--configLoader=runner',
        '--config',
        path.join(folder, 'vitest.config.js'),
        '--root',
        path.dirname(script),
        path.basename(script),
      ]
    : ['--enable-source-maps', script];
  // Its own, for a snippet may write files.
  const cwd = path.join(folder, 'cwd', name);
  fs.mkdirSync(cwd, { recursive: true });
  const timeoutMs = snippet.fails?.startsWith('did not end') ? 1000 : TEN_SECONDS;
  const { code, late, output } = await run(args, { cwd, timeoutMs });
  if (late) return `${where}: did not end within ${timeoutMs / 1000} s\n${tail(output)}`;
  if (code !== 0) return `${where}: ended with exit code ${code}\n${tail(output)}`;
  if (expected === undefined) return undefined;
  const differs = difference(expected, output.trimEnd().split('\n'));
  return differs && `${where}: ${differs}`;
}

function tail(output) {
  const lines = output.trimEnd().split('\n').slice(-30);
  return lines.map((line) => `    ${line}`).join('\n');
}

/** A line `…` alone stands for any number of lines. */
function difference(expected, got) {
  const pattern = expected
    .map((line) => line.trimEnd())
    .map((line) =>
      line === '…'
        ? '(?:.*\\n)*'
        : `${line.replace(/[.*+?^$()|[\]{}\\]/g, '\\$&').replaceAll('…', '.*')}\\n`,
    );
  const printed = got.map((line) => `${line.trimEnd()}\n`).join('');
  if (new RegExp(`^${pattern.join('')}$`).test(printed)) return undefined;
  return `should print\n${tail(expected.join('\n'))}\n  and printed\n${tail(got.join('\n'))}`;
}

function posix(file) {
  return file.split(path.sep).join('/');
}

// --- main -------------------------------------------------------------------------------------------------

/** Type-checks snippets, and runs those that are to be run. */
async function check(snippets) {
  fs.mkdirSync(path.join(ROOT, '.snippets'), { recursive: true });
  const folder = fs.mkdtempSync(path.join(ROOT, '.snippets', 'run-'));
  try {
    const problems = extract(snippets, folder);
    if (problems.length === 0) problems.push(...(await compile(folder)));
    if (problems.length > 0) return { ran: 0, problems };
    linkPackages(folder);
    const left = snippets.filter(({ marks }) => !marks.includes('no-run'));
    const ran = left.length;
    const worker = async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const problem = await runSnippet(next, folder);
        if (problem !== undefined) problems.push(problem);
      }
    };
    await Promise.all(Array.from({ length: Math.min(4, os.availableParallelism()) }, worker));
    return { ran, problems };
  } finally {
    if (keep) console.log(`Kept in ${path.relative(ROOT, folder)}.`);
    else fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Snippets that are wrong on purpose: each must fail, and as it says. */
async function prove() {
  const { snippets, problems } = snippetsOf('scripts/snippets-wrong.md');
  const legible = snippets.filter(({ misspelt }) => !misspelt);
  const untyped = legible.filter(({ fails }) => /error TS|belongs to/.test(fails));
  // One at a time where a problem keeps the rest from being looked at.
  for (const snippet of untyped) problems.push(...(await check([snippet])).problems);
  problems.push(...(await check(legible.filter((one) => !untyped.includes(one)))).problems);
  return snippets
    .filter(({ where, line, code, fails }) => {
      const lines = Array.from(
        { length: code.length + 1 },
        (_, i) => `${where.split(':')[0]}:${line + i}:`,
      );
      return !problems.some(
        (problem) => lines.some((at) => problem.includes(at)) && problem.includes(fails),
      );
    })
    .map(({ where, fails }) => `${where}: should fail: ${fails}`);
}

async function main() {
  const start = Date.now();
  const files = markdownFiles();
  const read = files.map(snippetsOf);
  const snippets = read
    .flatMap((file) => file.snippets)
    .filter(({ where }) => wanted.length === 0 || wanted.some((part) => where.includes(part)));
  const problems = [...read.flatMap((file) => file.problems), ...brokenLinks(ROOT, files)];
  if (snippets.length === 0) problems.push('There is no snippet to check.');
  let ran = 0;
  if (problems.length === 0) {
    const checked = await check(snippets);
    ran = checked.ran;
    problems.push(...checked.problems);
    if (wanted.length === 0) problems.push(...(await prove()));
  }
  for (const problem of problems) console.error(problem);
  const took = ((Date.now() - start) / 1000).toFixed(1);
  const checked = `${snippets.length} snippets type-checked, ${ran} of them run, in ${took} s`;
  console.log(problems.length === 0 ? checked : `${checked}: ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}

await main();
