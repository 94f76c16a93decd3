import { startPostgres } from './postgres.js';
import { findPostgres, type PostgresInstallation } from './postgres-binaries.js';
import type { PostgresSettings } from './postgres-cluster.js';
import { dockerPostgres } from './postgres-docker.js';
import type { PostgresServer } from './postgres-server.js';
import { postgresAt } from './postgres-url.js';
import { type Skipped, skip } from './skipped.js';

/** Which server is wanted. */
export interface TakeOptions {
  /** A number, or `second`: another major than the default one, from the system. Default: whichever comes first. */
  major?: number | 'second';
  /** Added to postgresql.conf; without effect on a server given by URL. */
  settings?: PostgresSettings;
  /** `log_statement`. Default `none`. */
  log?: 'none' | 'ddl' | 'mod' | 'all';
}

/**
 * A PostgreSQL to test against: the one that PG_URL names (`second`: PG_SECOND_URL) → the npm package's →
 * the system's → Docker's by testcontainers (untested where no engine is; first with OUTLAST_SERVERS=docker).
 * With nothing to be had, the reason is returned; with CI=true it is thrown.
 */
export async function takePostgres(options: TakeOptions = {}): Promise<PostgresServer | Skipped> {
  const { major, settings, log = 'none' } = options;
  const container = (): Promise<PostgresServer> =>
    dockerPostgres(major === 'second' ? 17 : major, { log_statement: log, ...settings });
  let refused = '';
  if (process.env['OUTLAST_SERVERS'] === 'docker') {
    try {
      return await container();
    } catch (error) {
      refused = `Docker, asked for by OUTLAST_SERVERS, gave none (${(error as Error).message}). `;
      console.warn(refused);
    }
  }
  const given = givenUrl(major);
  if (given) {
    const server = await postgresAt(given);
    if (typeof major !== 'number' || server.major === major) return server;
  }
  const installation = choose(findPostgres(), major);
  if (installation) return startPostgres({ installation, log, ...(settings && { settings }) });
  if (!refused) {
    try {
      return await container();
    } catch (error) {
      refused = `Docker gave none (${(error as Error).message}). `;
    }
  }
  return skip(missing(refused, major));
}

function givenUrl(major: TakeOptions['major']): string | undefined {
  return process.env[major === 'second' ? 'PG_SECOND_URL' : 'PG_URL'] || undefined;
}

function choose(
  found: PostgresInstallation[],
  major: TakeOptions['major'],
): PostgresInstallation | undefined {
  if (major === undefined) return found[0];
  if (major !== 'second') return found.find((one) => one.major === major);
  return found.find((one) => one.source === 'system' && one.major !== found[0]?.major);
}

function missing(refused: string, major: TakeOptions['major']): string {
  const wanted =
    major === undefined
      ? 'PostgreSQL'
      : major === 'second'
        ? 'second PostgreSQL major'
        : `PostgreSQL ${major}`;
  const number = major === 'second' || major === undefined ? 15 : major;
  const cure =
    major === undefined
      ? 'run `npm ci`, which brings a server along, or set PG_URL'
      : `run \`apt-get install -y --no-install-recommends postgresql-${number}\` as root, or set ${
          major === 'second' ? 'PG_SECOND_URL' : 'PG_URL'
        }`;
  return `No ${wanted} on this machine. ${refused}To have one, ${cure}.`;
}
