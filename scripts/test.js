// `npm test`: everything. Installs what is missing, then checks, unit tests, real servers, and the demo.
// The last line is `N passed, N failed, N skipped`. With CI=true a skip is a failure, unless only Docker
// could cure it.

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bootstrap } from './bootstrap.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bin = (name) => join(root, 'node_modules', '.bin', name);
const ci = process.env.CI === 'true';
const reports = mkdtempSync(join(tmpdir(), 'outlast-test-'));
const total = { passed: 0, failed: 0, skipped: 0 };
const failures = [];

function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', (error) => {
      console.error(error.message);
      resolve(1);
    });
    child.on('exit', (code, signal) => resolve(signal === null ? code : 1));
  });
}

/** A command that either holds or does not: counts as one test. `skipCode`: with which exit it says that it cannot run here. */
async function check(name, command, args, skipCode) {
  const start = Date.now();
  console.log(`\n── ${name}`);
  const code = await run(command, args);
  const skipped = code === skipCode && !ci;
  if (code === 0) total.passed += 1;
  else if (skipped) total.skipped += 1;
  else {
    total.failed += 1;
    failures.push(`${name} (exit ${code})`);
  }
  const word = code === 0 ? 'ok' : skipped ? 'skipped' : 'FAILED';
  console.log(`── ${name}: ${word} in ${seconds(start)}`);
}

async function vitest(name, args) {
  const start = Date.now();
  const file = join(reports, `${name}.json`);
  console.log(`\n── ${name}`);
  // The runner loads the configuration without writing into node_modules, which may be another user's.
  const code = await run(process.execPath, [
    join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--configLoader=runner',
    '--reporter=dot',
    '--reporter=json',
    `--outputFile.json=${file}`,
    ...args,
  ]);
  let report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    total.failed += 1;
    failures.push(`${name}: no report (exit ${code})`);
    return;
  }
  let seen = 0;
  for (const suite of report.testResults) {
    if (suite.status === 'failed' && suite.assertionResults.length === 0) {
      total.failed += 1;
      failures.push(`${name}: ${suite.name}: ${suite.message}`);
    }
    for (const test of suite.assertionResults) {
      seen += 1;
      if (test.status === 'passed') total.passed += 1;
      else if (test.status === 'failed') {
        total.failed += 1;
        failures.push(`${name}: ${test.fullName}`);
      } else if (ci && !/docker/i.test(test.fullName)) {
        total.failed += 1;
        failures.push(`${name}: skipped, which CI does not allow: ${test.fullName}`);
      } else {
        total.skipped += 1;
        console.log(`   skipped: ${test.fullName}`);
      }
    }
  }
  if (seen === 0 || (code !== 0 && report.success)) {
    total.failed += 1;
    failures.push(`${name}: ran ${seen} tests and ended with exit ${code}`);
  }
  console.log(`── ${name}: ${seen} tests in ${seconds(start)}`);
}

const seconds = (start) => `${((Date.now() - start) / 1000).toFixed(1)} s`;

const start = Date.now();
await bootstrap({
  servers: ['postgres', 'pgbouncer', 'mysql', 'redis', 'nginx', 'kafka', 'kafka-second', 'mlflow'],
});
await check('types', bin('tsc'), ['-p', 'tsconfig.test.json']);
await check('lint', bin('biome'), ['check', '--error-on-warnings', '.']);
await check('knip', bin('knip'), []);
await vitest('unit', ['--project', 'unit']);
await check('docs', process.execPath, ['scripts/snippets.js']);
for (const name of readdirSync(join(root, 'packages'))) {
  const folder = join('packages', name);
  await check(`publint ${name}`, bin('publint'), ['run', '--strict', folder]);
  await check(`attw ${name}`, bin('attw'), [
    '--pack',
    folder,
    '--profile',
    'esm-only',
    '-f',
    'ascii',
  ]);
}
await vitest('integration', ['--config', 'vitest.integration.config.ts']);
const NO_SERVER = 3;
await check('demo', process.execPath, ['scripts/demo.js']);
for (const [name, ...args] of [
  ['Redis', 'redis', '--seconds', '40'],
  ['MySQL', 'mysql'],
  ['Kafka', 'kafka'],
  ['MLflow', 'mlflow', '--seconds', '40'],
]) {
  await check(`demo of ${name}`, process.execPath, ['scripts/demo.js', ...args], NO_SERVER);
}

rmSync(reports, { recursive: true, force: true });
if (failures.length > 0)
  console.log(`\nFailed:\n${failures.map((line) => `  ${line}`).join('\n')}`);
console.log(`\nTook ${seconds(start)}.`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;
