import type { Attempt } from '@outlast/core-retry';
import { markCall, Reconnect, reasonOf } from '@outlast/core-retry/connector';
import { classifyMysql } from './classify.js';
import { stateOf } from './connection-state.js';
import { type CoreConnection, core, dropSocket, promises } from './driver.js';
import { watchCommands } from './marks.js';
import { connectionSettings, type RetryConnectionOptions } from './options.js';

/**
 * One connection, as the driver's callback face makes it. It connects once; its errors are marked by how
 * far their statement came.
 */
export function makeConnection(options: string | RetryConnectionOptions): CoreConnection {
  const { driver, policy } = connectionSettings(options);
  const connection = core.createConnection(driver);
  // The first of its listeners: whoever is told of it finds it marked.
  connection.once('error', (error: unknown) => {
    if (connection._handshakePacket == null) markRefused(error, connection);
  });
  return marked(connection, policy);
}

function markRefused(error: unknown, connection: CoreConnection): void {
  const failure = classifyMysql(error, 'connect');
  const { outcome } = failure;
  const call = { operation: 'mysql.connect', elapsedMs: 0, reason: reasonOf(failure), outcome };
  markCall(error, call, connection);
}

/**
 * One connection, by promise: waits out an outage while it connects, for as long as patience lasts. Nothing
 * is replayed on it.
 */
export async function connectPatiently(options: string | RetryConnectionOptions): Promise<object> {
  const { driver, policy, waitMs } = connectionSettings(options);
  const implementation = typeof options === 'string' ? undefined : promiseOf(options);
  let connected: CoreConnection | undefined;
  const connect = async (): Promise<void> => {
    const connection = await opened(driver);
    // Two probes may be under way at once.
    if (connected !== undefined) dropSocket(connection);
    connected ??= connection;
  };
  const reconnect = new Reconnect({
    service: 'mysql',
    policy,
    probe: connect,
    isPermanent: (error) => !classifyMysql(error, 'connect').transient,
  });
  const attempt = async ({ signal }: Attempt): Promise<CoreConnection> => {
    try {
      await connect();
    } catch (error) {
      if (!classifyMysql(error, 'connect').transient) throw error;
      reconnect.failed(error);
      await reconnect.wait(waitMs, signal);
    }
    return connected as CoreConnection;
  };
  const made = await policy.execute(
    (run) => {
      run.phase = 'connect';
      return attempt(run);
    },
    { operation: 'mysql.connect' },
  );
  return new promises.PromiseConnection(marked(made, policy), implementation);
}

function opened(options: string | object): Promise<CoreConnection> {
  return new Promise((resolve, reject) => {
    const connection = core.createConnection(
      typeof options === 'string' ? options : { ...options },
    );
    connection.on('error', () => {});
    connection.connect((error) => {
      if (error) {
        dropSocket(connection);
        reject(error);
      } else resolve(connection);
    });
  });
}

function marked(
  connection: CoreConnection,
  policy: Parameters<typeof watchCommands>[2],
): CoreConnection {
  const state = stateOf(connection);
  state.checkedOut = true;
  watchCommands(connection, state, policy);
  return connection;
}

function promiseOf(options: object): PromiseConstructor | undefined {
  return (options as { Promise?: PromiseConstructor }).Promise;
}
