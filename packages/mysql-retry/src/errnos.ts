import type { Category, Outcome } from '@outlast/core-retry';

/** What one error number means, whatever the phase. */
export interface Errno {
  readonly name: string;
  readonly category: Category;
  /** `connecting`: only while acquiring or connecting. */
  readonly transient: boolean | 'connecting';
  /** The outcome when it answers a statement that was sent; before that it is always `not-applied`. */
  readonly sent: Outcome;
  /** The connection that brought it serves nobody any more. */
  readonly discard: boolean;
}

type Row = readonly [errno: number, name: string];

function rows(
  meaning: Omit<Errno, 'name' | 'discard'> & { readonly discard?: boolean },
  ...list: readonly Row[]
): [number, Errno][] {
  return list.map(([errno, name]) => [errno, { discard: false, ...meaning, name }]);
}

const NOT_APPLIED = 'not-applied' as const;
const UNKNOWN = 'unknown' as const;

/**
 * Single error numbers of MySQL and MariaDB. Sources: both servers' `errmsg` tables (numbers and names);
 * which are transient, and the outcome of each: `reference/sql.md` §2c, drawn from MySqlConnector
 * (`IsTransient`), SQLAlchemy (`is_disconnect`) and go-sql-driver, put right where they retry what may
 * have been applied.
 */
export const ERRNOS: ReadonlyMap<number, Errno> = new Map<number, Errno>([
  ...rows(
    { category: 'resource-exhausted', transient: true, sent: NOT_APPLIED },
    [1040, 'ER_CON_COUNT_ERROR'],
    [1203, 'ER_TOO_MANY_USER_CONNECTIONS'],
    [1226, 'ER_USER_LIMIT_REACHED'],
    [1637, 'ER_TOO_MANY_CONCURRENT_TRXS'],
  ),
  ...rows(
    { category: 'network', transient: true, sent: NOT_APPLIED, discard: true },
    [1042, 'ER_BAD_HOST_ERROR'],
    [1043, 'ER_HANDSHAKE_ERROR'],
  ),
  // Blocked until somebody says FLUSH HOSTS: every further try makes it worse.
  ...rows({ category: 'unavailable', transient: false, sent: NOT_APPLIED }, [
    1129,
    'ER_HOST_IS_BLOCKED',
  ]),
  ...rows(
    { category: 'auth', transient: false, sent: NOT_APPLIED },
    [1044, 'ER_DBACCESS_DENIED_ERROR'],
    [1045, 'ER_ACCESS_DENIED_ERROR'],
    [1130, 'ER_HOST_NOT_PRIVILEGED'],
    [1142, 'ER_TABLEACCESS_DENIED_ERROR'],
    [1227, 'ER_SPECIFIC_ACCESS_DENIED_ERROR'],
    [1698, 'ER_ACCESS_DENIED_NO_PASSWORD_ERROR'],
  ),
  ...rows(
    { category: 'not-found', transient: false, sent: NOT_APPLIED },
    [1049, 'ER_BAD_DB_ERROR'],
    [1146, 'ER_NO_SUCH_TABLE'],
  ),
  ...rows(
    { category: 'unavailable', transient: true, sent: UNKNOWN, discard: true },
    [1053, 'ER_SERVER_SHUTDOWN'],
    [1927, 'ER_CONNECTION_KILLED'],
    [3032, 'ER_SERVER_OFFLINE_MODE'],
  ),
  ...rows(
    { category: 'network', transient: true, sent: UNKNOWN, discard: true },
    [1152, 'ER_ABORTING_CONNECTION'],
    [1158, 'ER_NET_READ_ERROR'],
    [1159, 'ER_NET_READ_INTERRUPTED'],
    [1160, 'ER_NET_ERROR_ON_WRITE'],
    [1161, 'ER_NET_WRITE_INTERRUPTED'],
    [1184, 'ER_NEW_ABORTING_CONNECTION'],
    // Of libmysql: mysql2 never makes them, but a proxy in between hands them on.
    [2006, 'CR_SERVER_GONE_ERROR'],
    [2013, 'CR_SERVER_LOST'],
    [2055, 'CR_SERVER_LOST_EXTENDED'],
  ),
  ...rows({ category: 'timeout', transient: true, sent: UNKNOWN, discard: true }, [
    4031,
    'ER_CLIENT_INTERACTION_TIMEOUT',
  ]),
  ...rows(
    { category: 'contention', transient: true, sent: NOT_APPLIED },
    [1205, 'ER_LOCK_WAIT_TIMEOUT'],
    [1213, 'ER_LOCK_DEADLOCK'],
    [1613, 'ER_XA_RBTIMEOUT'],
    [1614, 'ER_XA_RBDEADLOCK'],
  ),
  // Who says NOWAIT wants the error.
  ...rows({ category: 'contention', transient: false, sent: NOT_APPLIED }, [
    3572,
    'ER_LOCK_NOWAIT',
  ]),
  // Of 1290 only what its text says of --read-only: see `errno()`.
  ...rows(
    { category: 'unavailable', transient: true, sent: NOT_APPLIED, discard: true },
    [1290, 'ER_OPTION_PREVENTS_STATEMENT'],
    [1836, 'ER_READ_ONLY_MODE'],
    // Of 1047 only what Galera says: not ready, another node may be.
    [1047, 'ER_UNKNOWN_COM_ERROR'],
  ),
  ...rows(
    { category: 'invalid', transient: false, sent: NOT_APPLIED, discard: true },
    [1153, 'ER_NET_PACKET_TOO_LARGE'],
    [1792, 'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION'],
  ),
  ...rows(
    { category: 'timeout', transient: false, sent: NOT_APPLIED },
    [1317, 'ER_QUERY_INTERRUPTED'],
    [1969, 'ER_STATEMENT_TIMEOUT'],
    [3024, 'ER_QUERY_TIMEOUT'],
  ),
  ...rows({ category: 'unavailable', transient: false, sent: UNKNOWN }, [
    1180,
    'ER_ERROR_DURING_COMMIT',
  ]),
  ...rows(
    { category: 'conflict', transient: false, sent: NOT_APPLIED },
    [1062, 'ER_DUP_ENTRY'],
    [1451, 'ER_ROW_IS_REFERENCED_2'],
    [1452, 'ER_NO_REFERENCED_ROW_2'],
  ),
  ...rows(
    { category: 'invalid', transient: false, sent: NOT_APPLIED },
    [1054, 'ER_BAD_FIELD_ERROR'],
    [1064, 'ER_PARSE_ERROR'],
  ),
]);

/** A server that answers with a number nobody listed (SIGNAL, say) has decided. */
const UNLISTED: Errno = {
  name: '',
  category: 'invalid',
  transient: false,
  sent: NOT_APPLIED,
  discard: false,
};

// The option and its cousins: --read-only, --super-read-only, --read-only=ON, --innodb-read-only.
const READ_ONLY_TEXT = /--(?:super[-_]|innodb[-_])?read[-_]only/i;
const GALERA_TEXT = /WSREP/;

/** The meaning of an error number; two of them mean several things, which only their text tells apart. */
export function errno(number: number, message: string): Errno {
  if (number === 1290 && !READ_ONLY_TEXT.test(message)) return UNLISTED;
  if (number === 1047 && !GALERA_TEXT.test(message)) return UNLISTED;
  return ERRNOS.get(number) ?? UNLISTED;
}

/**
 * The error numbers after which the same call may succeed later, in every phase. Whether it may be *made*
 * again is the outcome's business; 1290 and 1047 count only with the right text.
 */
export const RETRYABLE_ERRNOS: readonly number[] = [...ERRNOS]
  .filter(([, meaning]) => meaning.transient === true)
  .map(([number]) => number);
