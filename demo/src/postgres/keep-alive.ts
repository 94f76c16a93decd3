import type pg from 'pg';

/** Without these two listeners a lost connection ends the process: of an idle client, of one that is checked out. */
export function keepAlive(pool: pg.Pool): void {
  pool.on('error', () => {});
  // one attached after `await pool.connect()` comes too late: the pool hands a client on while it is still
  // reading from its socket, and the server's farewell may stand in the same bytes
  pool.on('connect', (client) => client.on('error', () => {}));
}
