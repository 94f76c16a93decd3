// `npm run mutation`: how many mistakes in core-retry its tests find. By hand, for it takes half an hour.
// Stryker is fetched when it is first needed and is in no lock file: it would make every install a third larger.
// Arguments are handed on: `npm run mutation -- --mutate 'packages/core-retry/src/rule.ts'`.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const STRYKER = '9.6.1';
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const scoreFile = join(root, 'packages/core-retry/mutation/score.json');

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const read = (file) => JSON.parse(readFileSync(file, 'utf8'));

const manifest = join(root, 'node_modules/@stryker-mutator/vitest-runner/package.json');
if (!existsSync(manifest) || read(manifest).version !== STRYKER) {
  const packages = ['core', 'vitest-runner'].map((name) => `@stryker-mutator/${name}@${STRYKER}`);
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', ...packages]);
}
const stryker = join(root, 'node_modules/.bin/stryker');
run(stryker, ['run', 'packages/core-retry/stryker.config.json', ...process.argv.slice(2)]);

/** A mutant that made a test hang was found, too; but on a machine that is busy some only seem to hang. */
function scoreOf(counts) {
  const { killed, timedOut, survived, uncovered } = counts;
  const found = killed + timedOut;
  const all = found + survived + uncovered;
  return { ...counts, score: all === 0 ? 100 : Math.round((1000 * found) / all) / 10 };
}

function summary(mutants) {
  const count = (wanted) => mutants.filter(({ status }) => status === wanted).length;
  return scoreOf({
    killed: count('Killed'),
    timedOut: count('Timeout'),
    survived: count('Survived'),
    uncovered: count('NoCoverage'),
  });
}

// A run of a few files leaves the figures of the others as they were.
const files = existsSync(scoreFile) ? read(scoreFile).files : {};
for (const [path, { mutants }] of Object.entries(
  read(join(root, 'reports/mutation/report.json')).files,
)) {
  const tested = mutants.filter(({ status }) => status !== 'Ignored' && status !== 'CompileError');
  if (tested.length > 0) files[basename(path)] = summary(tested);
}
const names = Object.keys(files).sort();
const total = { killed: 0, timedOut: 0, survived: 0, uncovered: 0 };
for (const name of names) for (const key in total) total[key] += files[name][key];

const score = {
  stryker: STRYKER,
  total: scoreOf(total),
  files: Object.fromEntries(names.map((name) => [name, files[name]])),
};
writeFileSync(scoreFile, `${JSON.stringify(score, undefined, 2)}\n`);
console.table(score.files);
