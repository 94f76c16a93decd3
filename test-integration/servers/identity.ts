import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  mkdtempSync,
  readFileSync,
  statSync,
} from 'node:fs';
import { chown, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { atExit } from './cleanup.js';

/** The user a server runs as, in the shape that `child_process.spawn` takes. */
export interface Identity {
  uid: number;
  gid: number;
}

/**
 * Who servers run as: `undefined` (ourselves) for an ordinary user; as root, which PostgreSQL refuses,
 * the first of `names` that /etc/passwd knows.
 */
export function serverIdentity(names: string[] = ['postgres', 'nobody']): Identity | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = new Map<string, Identity>();
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name) users.set(name, { uid: Number(uid), gid: Number(gid) });
  }
  for (const name of names) {
    const found = users.get(name);
    if (found) return found;
  }
  throw new Error(
    `Running as root, but /etc/passwd has none of the users ${names.join(', ')} to run a server as.`,
  );
}

/** A new temporary folder that `identity` owns and can reach; removed at the latest when the process exits. */
export function temporaryFolder(
  label: string,
  identity: Identity | undefined = serverIdentity(),
): string {
  const folder = mkdtempSync(join(reachableTmpdir(identity), `outlast-${label}-`));
  chmodSync(folder, 0o755);
  if (identity) chownSync(folder, identity.uid, identity.gid);
  atExit.remove(folder);
  return folder;
}

/** Writes a file that only `identity` may read, as servers ask of what lies in their data folder. */
export async function writeOwned(
  path: string,
  text: string,
  identity: Identity | undefined = serverIdentity(),
): Promise<void> {
  await writeFile(path, text, { mode: 0o600 });
  if (identity) await chown(path, identity.uid, identity.gid);
}

/** The system's folder for temporary files, or /tmp if root's own is closed to `identity`. */
function reachableTmpdir(identity: Identity | undefined): string {
  const wanted = tmpdir();
  if (!identity) return wanted;
  for (let folder = wanted; folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & constants.S_IXOTH) === 0) {
      accessSync('/tmp', constants.W_OK);
      return '/tmp';
    }
  }
  return wanted;
}
