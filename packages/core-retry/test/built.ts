import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll } from 'vitest';

const packageDir = fileURLToPath(new URL('..', import.meta.url));
const tsc = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc', import.meta.url));

/**
 * The sources as Node would run them, in a folder of their own for the tests of this file: a dist may be
 * stale, or being built.
 *
 * @returns the address of a module, as a literal for an import
 */
export function buildSources(): (module: string) => string {
  let built = '';
  beforeAll(() => {
    built = mkdtempSync(join(tmpdir(), 'outlast-core-'));
    // Programs of other users read them, too.
    chmodSync(built, 0o755);
    writeFileSync(join(built, 'package.json'), '{"type":"module"}');
    const off = ['composite', 'incremental', 'declaration', 'declarationMap'];
    const options = [...off, 'isolatedDeclarations'].flatMap((option) => [`--${option}`, 'false']);
    execFileSync(process.execPath, [tsc, '-p', packageDir, '--outDir', built, ...options]);
  }, 60_000);
  afterAll(() => {
    rmSync(built, { recursive: true, force: true });
  });
  return (module) => JSON.stringify(pathToFileURL(join(built, module)).href);
}
