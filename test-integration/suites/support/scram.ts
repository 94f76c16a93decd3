import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PostgresServer } from '../../servers/index.js';

/** Makes a role whose password the server asks for; all others it trusts. */
export async function createScramRole(
  server: PostgresServer,
  role: string,
  password: string,
): Promise<void> {
  const file = join(server.dataDir, 'pg_hba.conf');
  const rest = await readFile(file, 'utf8');
  await writeFile(file, `host app ${role} 127.0.0.1/32 scram-sha-256\n${rest}`);
  await server.admin(`create role ${role} login password '${password}'`);
  await server.admin('select pg_reload_conf()');
}
