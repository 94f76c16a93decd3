import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as outlast from '@outlast/core-retry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MUTANTS, type Mutant } from './mutants/mutants.js';
import { type Build, PROBES, type Probe } from './mutants/probes.js';

const SOURCE = join(import.meta.dirname, '../src');
const BREAKER_FILES = /breaker|backoff/;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outlast-mutants-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy of the sources with one mistake in it; the vitest that runs us translates it as it does the original. */
async function buildOf({ name, file, from, to }: Mutant): Promise<Build> {
  const copy = join(folder, name.replaceAll(' ', '-'));
  cpSync(SOURCE, copy, { recursive: true });
  const original = readFileSync(join(copy, file), 'utf8');
  const found = original.split(from).length - 1;
  if (found !== 1) throw new Error(`'${from}' stands ${found} times in ${file}, not once`);
  writeFileSync(
    join(copy, file),
    original.replace(from, () => to),
  );
  // Half of the time goes into translating, so breakers come without what they do not need.
  const entries = BREAKER_FILES.test(file) ? [] : ['retry-policy.ts', 'marks.ts'];
  const modules = ['circuit-breaker.ts', ...entries].map(
    (entry) => import(/* @vite-ignore */ pathToFileURL(join(copy, entry)).href),
  );
  return Object.assign({}, ...(await Promise.all(modules)));
}

const run = async (probe: Probe, build: Build): Promise<void> => PROBES[probe](build);

describe('the sources keep what they promise', () => {
  it.each(Object.keys(PROBES) as Probe[])('%s', async (probe) => {
    await expect(run(probe, outlast)).resolves.toBeUndefined();
  });
});

describe('a source with a mistake in it does not', () => {
  it.each(MUTANTS)('$name', async (mutant) => {
    const build = await buildOf(mutant);
    expect(build.CircuitBreaker).not.toBe(outlast.CircuitBreaker);
    // By the probe's own verdict: a build that does not even run proves nothing.
    await expect(run(mutant.probe, build)).rejects.toThrow(/^[a-z ]+: .*, not /);
  });

  it('each probe finds one', () => {
    expect(new Set(MUTANTS.map(({ probe }) => probe))).toEqual(new Set(Object.keys(PROBES)));
  });
});

it('a change whose place is gone is an error, not a pass', async () => {
  const gone = { name: 'gone', file: 'rule.ts', from: 'no such text', to: '' } as Mutant;
  await expect(buildOf(gone)).rejects.toThrow("'no such text' stands 0 times in rule.ts, not once");
});
