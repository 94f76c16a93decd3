import { Socket } from 'node:net';
import driver from 'pg';
import { addressOf, type CancelConnection, internals } from './driver.js';

const CANCEL_TIMEOUT_MS = 2000;

/**
 * Stops what a client is running, by a CancelRequest on a connection of its own; resolves when the
 * server has taken it, or after 2 s. Never rejects: at worst the statement runs on.
 */
export function cancelStatement(client: driver.ClientBase): Promise<void> {
  const { processID, secretKey, host, port, ssl, sslNegotiation } = internals(client);
  if (processID == null || secretKey == null || port === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    const connection = new driver.Connection({
      stream: socketTo(addressOf(client).host),
      ssl,
      sslNegotiation,
    } as object) as unknown as CancelConnection;
    const timer = setTimeout(() => done(), CANCEL_TIMEOUT_MS);
    const done = (): void => {
      clearTimeout(timer);
      connection.stream.destroy();
      resolve();
    };
    const send = (): void => connection.cancel(processID, secretKey);
    connection.on('error', done);
    connection.once('end', done);
    connection.once('sslconnect', send);
    connection.once('connect', () => {
      if (!ssl) send();
      else if (sslNegotiation !== 'direct') connection.requestSsl();
    });
    if (host?.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
    else connection.connect(port, host);
  });
}

/** Goes to one address, whatever name it is told; TLS is still for the name. */
function socketTo(address: string): Socket {
  const socket = new Socket();
  if (address.startsWith('/')) return socket;
  const connect = socket.connect.bind(socket) as (port: number, host: string) => Socket;
  return Object.assign(socket, { connect: (port: number) => connect(port, address) });
}
