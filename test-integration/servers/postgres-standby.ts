import { chown, copyFile, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { type Identity, serverIdentity, temporaryFolder, writeOwned } from './identity.js';
import { freePort } from './ports.js';
import { launch, NativePostgres } from './postgres.js';
import type { PostgresServer } from './postgres-server.js';

const LEAVE_OUT = new Set(['postmaster.pid', 'postmaster.opts', 'standby.signal', 'backup_label']);
const LEAVE_EMPTY = new Set(['pg_wal', 'pg_replslot']);

/**
 * Starts a standby of a running `primary` on a port of its own: same system identifier, and once promoted a
 * timeline of its own. By the low-level copy, for the npm package has no pg_basebackup. About a second.
 */
export async function startStandby(primary: PostgresServer): Promise<NativePostgres> {
  if (!(primary instanceof NativePostgres)) {
    throw new Error(
      `A standby needs the primary's files; a server from ${primary.source} has none within reach.`,
    );
  }
  const identity = serverIdentity();
  const folder = temporaryFolder(`pg${primary.major}-standby`);
  try {
    await makeFolder(join(folder, 'data'), identity);
    await copyBackup(primary, join(folder, 'data'), identity);
    await new NativePostgres(primary.installation, folder, await freePort()).follow(primary);
    return await launch(primary.installation, folder);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function copyBackup(
  primary: NativePostgres,
  to: string,
  identity: Identity | undefined,
): Promise<void> {
  // the backup belongs to the session that began it, so all of it happens on one connection
  const session = new pg.Client({ ...primary.config({ user: 'postgres' }), query_timeout: 30_000 });
  session.on('error', () => {});
  await session.connect();
  try {
    await session.query(`select pg_backup_start('outlast', true)`);
    await copyFolder(primary.dataDir, to, identity);
    const { rows } = await session.query('select labelfile from pg_backup_stop(false)');
    await writeOwned(join(to, 'backup_label'), rows[0].labelfile, identity);
  } finally {
    await session.end();
  }
}

async function copyFolder(from: string, to: string, identity: Identity | undefined): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) {
      await makeFolder(target, identity);
      if (!LEAVE_EMPTY.has(entry.name)) await copyFolder(source, target, identity);
    } else if (entry.isFile() && !LEAVE_OUT.has(entry.name)) {
      await copyLive(source, target, identity);
    }
  }
}

async function makeFolder(path: string, identity: Identity | undefined): Promise<void> {
  await mkdir(path, { mode: 0o700 });
  if (identity) await chown(path, identity.uid, identity.gid);
}

async function copyLive(
  source: string,
  target: string,
  identity: Identity | undefined,
): Promise<void> {
  try {
    await copyFile(source, target);
    if (identity) await chown(target, identity.uid, identity.gid);
  } catch (error) {
    // a running server removes files at any time; what the standby needs of them is in the WAL
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
