import { execFile, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const HERE = fileURLToPath(new URL('../../', import.meta.url));

/** How a child process ended. */
export interface ChildEnd {
  /** null: it did not end by itself in time, and was killed. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

let built: Promise<unknown> | undefined;

/** A Node process without vitest gets the packages as a user does: built. Quick when nothing has changed. */
function build(): Promise<unknown> {
  const tsc = fileURLToPath(new URL('node_modules/typescript/bin/tsc', `file://${ROOT}`));
  // it refers to all packages, and its servers and faults may be wanted too
  built ??= promisify(execFile)(process.execPath, [tsc, '-b', 'test-integration'], { cwd: ROOT });
  return built;
}

/** A Node process that runs. */
export interface Child {
  readonly pid: number;
  readonly running: boolean;
  /** What it has printed so far. */
  readonly stdout: string;
  readonly end: Promise<ChildEnd>;
}

/** Runs an ES module in a Node process of its own, which may import our packages by name. */
export async function startChild(
  source: string,
  env: Readonly<Record<string, string>> = {},
  timeoutMs = 15_000,
): Promise<Child> {
  await build();
  const start = performance.now();
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    cwd: HERE,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const end = new Promise<ChildEnd>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, stdout, stderr, ms: performance.now() - start });
    });
  });
  return {
    pid: child.pid as number,
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    get stdout() {
      return stdout;
    },
    end,
  };
}

/** As {@link startChild}, to its end. */
export async function runChild(
  source: string,
  env?: Readonly<Record<string, string>>,
  timeoutMs?: number,
): Promise<ChildEnd> {
  return (await startChild(source, env, timeoutMs)).end;
}
