import type { Attempt } from '@outlast/core-retry';
import { markCall, Reconnect, reasonOf } from '@outlast/core-retry/connector';
import { classifyMysql } from './classify.js';
import { stateOf } from './connection-state.js';
import { type CoreConnection, core, dropSocket, promises } from './driver.js';
import { watchCommands } from './marks.js';
import {
  type ConnectionSettings,
  connectionSettings,
  type RetryConnectionOptions,
} from './options.js';
import { waitOutWhileConnecting } from './patient-connection.js';

/**
 * One connection, as the driver's callback face makes it: at once, and connecting by itself. It waits out
 * an outage while it connects, for as long as patience lasts; its errors are marked by how far their
 * statement came.
 */
export function makeConnection(options: string | RetryConnectionOptions): CoreConnection {
  const settings = connectionSettings(options);
  const connection = core.createConnection(settings.driver);
  // Whoever waits for it is told by his callback; nobody listening must not end the process.
  connection.on('error', () => {});
  waitOutWhileConnecting(connection, {
    isOutage: (error) => isOutage(error, settings),
    refused: (error) => markRefused(error, connection),
    connect: (error, signal) => openPatiently(settings, { error, signal }),
  });
  return marked(connection, settings);
}

/**
 * One connection, by promise: waits out an outage while it connects, for as long as patience lasts. Nothing
 * is replayed on it.
 */
export async function connectPatiently(options: string | RetryConnectionOptions): Promise<object> {
  const settings = connectionSettings(options);
  const implementation = typeof options === 'string' ? undefined : promiseOf(options);
  const connection = await openPatiently(settings);
  return new promises.PromiseConnection(marked(connection, settings), implementation);
}

/** What a connection met that began without patience. */
interface Begun {
  readonly error: unknown;
  readonly signal: AbortSignal;
}

async function openPatiently(settings: ConnectionSettings, begun?: Begun): Promise<CoreConnection> {
  const { policy, waitMs } = settings;
  let connected: CoreConnection | undefined;
  let over = false;
  const connect = async (): Promise<void> => {
    const connection = await opened(settings.driver);
    // Two probes may be under way at once, and one when nobody waits any more.
    if (over || connected !== undefined) dropSocket(connection);
    else connected = connection;
  };
  const reconnect = new Reconnect({
    service: 'mysql',
    policy,
    probe: connect,
    isPermanent: (error) => !isOutage(error, settings),
  });
  const attempt = async (run: Attempt): Promise<CoreConnection> => {
    run.phase = 'connect';
    try {
      if (begun !== undefined && run.number === 1) throw begun.error;
      await connect();
    } catch (error) {
      if (!isOutage(error, settings)) throw error;
      reconnect.failed(error);
      await reconnect.wait(waitMs, run.signal);
    }
    return connected as CoreConnection;
  };
  const call = {
    operation: 'mysql.connect',
    ...(begun === undefined ? undefined : { signal: begun.signal }),
  };
  try {
    return await policy.execute(attempt, call);
  } finally {
    over = true;
  }
}

/** A failure that may pass; not on a wire that the caller has laid, for there is no other. */
function isOutage(error: unknown, { driver }: ConnectionSettings): boolean {
  const wire = typeof driver === 'string' ? undefined : driver.stream;
  const given = wire !== undefined && typeof wire !== 'function';
  return !given && classifyMysql(error, 'connect').transient;
}

function markRefused(error: unknown, connection: CoreConnection): void {
  const failure = classifyMysql(error, 'connect');
  const { outcome } = failure;
  const call = { operation: 'mysql.connect', elapsedMs: 0, reason: reasonOf(failure), outcome };
  markCall(error, call, connection);
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

function marked(connection: CoreConnection, { policy }: ConnectionSettings): CoreConnection {
  const state = stateOf(connection);
  state.checkedOut = true;
  watchCommands(connection, state, policy);
  return connection;
}

/** Whose promises the caller wants. */
export function promiseOf(options: object): PromiseConstructor | undefined {
  return (options as { Promise?: PromiseConstructor }).Promise;
}
