import type { RetryPolicy } from '@outlast/core-retry';
import { type ConnectionConfig, type CoreConnection, dropSocket, farewell } from './driver.js';
import { ask, askIdentity, type Identity, sameLife } from './identity.js';
import type { Servers } from './servers.js';

const STOP_TIMEOUT_MS = 2000;

/**
 * Stops what a session is running, by `KILL QUERY` on a connection of its own to the same host and port.
 * Only if the session can still be that one: the same server, and not restarted since, for then somebody
 * else has its number. Resolves when the server has taken it, or after 2 s. Never rejects: at worst the
 * statement runs on.
 */
export async function stopStatement(
  servers: Servers,
  to: Pick<ConnectionConfig, 'host' | 'port'>,
  session: Identity,
  clock: RetryPolicy['settings']['clock'],
): Promise<void> {
  let opened: CoreConnection | undefined;
  let late = false;
  const kill = async (): Promise<void> => {
    opened = await servers.connect(to);
    if (late) return dropSocket(opened);
    if (sameLife(session, await askIdentity(opened, clock))) {
      await ask(opened, `KILL QUERY ${session.id}`);
    }
    farewell(opened);
  };
  await new Promise<void>((resolve) => {
    const finish = (): void => {
      timer.cancel();
      resolve();
    };
    const timer = clock.setTimeout(() => {
      late = true;
      if (opened !== undefined) dropSocket(opened);
      resolve();
    }, STOP_TIMEOUT_MS);
    kill().then(finish, () => {
      if (opened !== undefined) dropSocket(opened);
      finish();
    });
  });
}
