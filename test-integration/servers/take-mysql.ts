import { type MariadbOptions, startMariadb } from './mariadb.js';
import { findMariadb } from './mariadb-binaries.js';
import { dockerMysql } from './mysql-docker.js';
import type { MysqlServer } from './mysql-server.js';
import { mysqlAt } from './mysql-url.js';
import { type Skipped, skip } from './skipped.js';

/** Which server is wanted. */
export interface TakeMysqlOptions extends Pick<MariadbOptions, 'settings' | 'log'> {
  /** Whether it must be one that can be stopped, so that MYSQL_URL is no answer. Default false. */
  own?: boolean;
}

/**
 * A MySQL or MariaDB to test against: the one that MYSQL_URL names → the system's MariaDB → Docker's MySQL 8 by
 * testcontainers (untested where no engine is; first with OUTLAST_SERVERS=docker). With nothing to be had, the
 * reason is returned; with CI=true it is thrown.
 */
export async function takeMysql(options: TakeMysqlOptions = {}): Promise<MysqlServer | Skipped> {
  const { own = false, ...rest } = options;
  let refused = '';
  if (process.env['OUTLAST_SERVERS'] === 'docker') {
    try {
      return await dockerMysql(rest.settings);
    } catch (error) {
      refused = `Docker, asked for by OUTLAST_SERVERS, gave none (${(error as Error).message}). `;
      console.warn(refused);
    }
  }
  const given = process.env['MYSQL_URL'];
  if (given && !own) return mysqlAt(given);
  if (findMariadb().length > 0) return startMariadb(rest);
  if (!refused) {
    try {
      return await dockerMysql(rest.settings);
    } catch (error) {
      refused = `Docker gave none (${(error as Error).message}). `;
    }
  }
  return skip(missingMysql(refused, !own));
}

/** Why there is no MySQL, and what would bring one; `url`: whether MYSQL_URL would do too. */
export function missingMysql(refused = '', url = false): string {
  const install =
    process.platform === 'darwin'
      ? 'run `brew install mariadb`'
      : 'run `apt-get install -y --no-install-recommends mariadb-server` as root';
  return `No MySQL or MariaDB on this machine. ${refused}To have one, ${install}${url ? ', or set MYSQL_URL' : ''}.`;
}
