import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A Redis server program found on this machine. */
export interface RedisInstallation {
  /** 7 for 7.0.15. */
  major: number;
  /** As the program prints it, such as `7.0.15`. */
  version: string;
  /** Absolute path of `redis-server`, which is also Sentinel when told so. */
  program: string;
}

let known: RedisInstallation[] | undefined;

/** All usable installations, first the one that PATH names. Looked up once a process. */
export function findRedis(): RedisInstallation[] {
  known ??= folders()
    .map((folder) => join(folder, 'redis-server'))
    .filter((program) => existsSync(program))
    .flatMap((program) => installation(program) ?? []);
  return known;
}

function folders(): string[] {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((one) => one.startsWith('/'));
  // /usr/bin and /usr/sbin are not on everybody's PATH; then Homebrew on Apple silicon and on Intel
  return [...new Set([...path, '/usr/bin', '/usr/sbin', '/opt/homebrew/bin', '/usr/local/bin'])];
}

function installation(program: string): RedisInstallation | undefined {
  const run = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const version = /v=(\d+(?:\.\d+)*)/.exec(run.stdout ?? '')?.[1];
  return version ? { major: Number.parseInt(version, 10), version, program } : undefined;
}
