import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A MariaDB server program found on this machine. */
export interface MariadbInstallation {
  /** 10 for 10.11.19. */
  major: number;
  /** As the program prints it, such as `10.11.19`. */
  version: string;
  /** Absolute path of `mariadbd`. */
  program: string;
  /** Absolute path of `mariadb-install-db`. */
  install: string;
}

let known: MariadbInstallation[] | undefined;

/** All usable installations, first the one that PATH names. Looked up once a process. */
export function findMariadb(): MariadbInstallation[] {
  known ??= folders()
    .map((folder) => join(folder, 'mariadbd'))
    .filter((program) => existsSync(program))
    .flatMap((program) => installation(program) ?? []);
  return known;
}

function folders(): string[] {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((one) => one.startsWith('/'));
  // the server is in /usr/sbin, which is not on everybody's PATH; then Homebrew on Apple silicon and on Intel
  return [...new Set([...path, '/usr/bin', '/usr/sbin', '/opt/homebrew/bin', '/usr/local/bin'])];
}

function installation(program: string): MariadbInstallation | undefined {
  const run = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const version = /Ver (\d+(?:\.\d+)*)-MariaDB/.exec(run.stdout ?? '')?.[1];
  const install = folders()
    .map((folder) => join(folder, 'mariadb-install-db'))
    .find((one) => existsSync(one));
  if (!version || !install) return undefined;
  return { major: Number.parseInt(version, 10), version, program, install };
}
