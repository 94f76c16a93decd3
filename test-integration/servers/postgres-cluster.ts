import { execFile } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Identity } from './identity.js';
import type { PostgresInstallation } from './postgres-binaries.js';

/** Lines for postgresql.conf. */
export type PostgresSettings = Record<string, string | number | boolean>;

const DEFAULTS: PostgresSettings = {
  listen_addresses: '127.0.0.1',
  // small, so that a test can provoke 53300; three reserved for the superuser leave `admin` a way in
  max_connections: 40,
  superuser_reserved_connections: 3,
  shared_buffers: '32MB',
  fsync: true,
  wal_level: 'replica',
  max_wal_senders: 4,
  wal_keep_size: '64MB',
  jit: false,
  log_line_prefix: '%m [%p] %u@%d %a ',
};

/** `initdb` into `folder`/data and our settings; returns the data folder. About a second. */
export async function makeCluster(
  installation: PostgresInstallation,
  folder: string,
  identity: Identity | undefined,
  settings: PostgresSettings,
): Promise<string> {
  const data = join(folder, 'data');
  const flags = [
    '-U',
    'postgres',
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--locale=C',
    '--no-sync',
    '--no-instructions',
  ];
  await promisify(execFile)(installation.bin.initdb, ['-D', data, ...flags], {
    ...identity,
    cwd: folder,
    env: serverEnvironment(),
    timeout: 60_000,
  });
  configure(data, { ...DEFAULTS, ...settings });
  appendFileSync(join(data, 'pg_hba.conf'), 'host replication all 127.0.0.1/32 trust\n');
  return data;
}

/** Appends settings to postgresql.conf, where the last word counts. They hold from the next start or reload. */
export function configure(dataDir: string, settings: PostgresSettings): void {
  const lines = Object.entries(settings).map(
    ([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`,
  );
  appendFileSync(join(dataDir, 'postgresql.conf'), lines.join(''));
}

/** A clean environment: the caller's PG… variables would change what the server and initdb do. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    LC_ALL: process.platform === 'darwin' ? 'en_US.UTF-8' : 'C.UTF-8',
  };
}
