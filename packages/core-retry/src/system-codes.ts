import type { Category, Outcome } from './failure.js';

/** Category, whether it is transient, and the outcome if the work had been sent. */
type SystemCode = readonly [Category, boolean, Outcome];

const NEVER_SENT: SystemCode = ['network', true, 'not-applied'];
const CUT: SystemCode = ['network', true, 'unknown'];

/** Sources: Node's `os.constants.errno`, the c-ares codes of `dns`, and what `net`, `tls` and `fetch` set. */
export const SYSTEM_CODES: Readonly<Record<string, SystemCode>> = {
  ECONNREFUSED: NEVER_SENT,
  ENOTFOUND: NEVER_SENT,
  EAI_AGAIN: NEVER_SENT,
  EAI_FAIL: NEVER_SENT,
  EAI_NODATA: NEVER_SENT,
  ESERVFAIL: NEVER_SENT,
  EHOSTDOWN: NEVER_SENT,
  EADDRNOTAVAIL: NEVER_SENT,
  UND_ERR_CONNECT_TIMEOUT: ['timeout', true, 'not-applied'],
  // These two can also end an established connection.
  EHOSTUNREACH: CUT,
  ENETUNREACH: CUT,
  ECONNRESET: CUT,
  ECONNABORTED: CUT,
  ENETDOWN: CUT,
  ENETRESET: CUT,
  ENOTCONN: CUT,
  EPIPE: CUT,
  EPROTO: CUT,
  UND_ERR_SOCKET: CUT,
  UND_ERR_HEADERS_TIMEOUT: ['timeout', true, 'unknown'],
  UND_ERR_BODY_TIMEOUT: ['timeout', true, 'unknown'],
  ERR_STREAM_PREMATURE_CLOSE: CUT,
  ERR_SOCKET_CLOSED: CUT,
  ETIMEDOUT: ['timeout', true, 'unknown'],
  // Of c-ares when a name server is silent; of others when a request is.
  ETIMEOUT: ['timeout', true, 'unknown'],
  ESOCKETTIMEDOUT: ['timeout', true, 'unknown'],
  ERR_SOCKET_CONNECTION_TIMEOUT: ['timeout', true, 'not-applied'],
  EBUSY: ['unavailable', true, 'not-applied'],
  EAGAIN: ['unavailable', true, 'not-applied'],
  EMFILE: ['resource-exhausted', true, 'not-applied'],
  ENFILE: ['resource-exhausted', true, 'not-applied'],
  // Met by a write to an established connection: part of it may be on its way.
  ENOBUFS: ['resource-exhausted', true, 'unknown'],
  ENOSPC: ['resource-exhausted', false, 'unknown'],
  EDQUOT: ['resource-exhausted', false, 'unknown'],
  ENOENT: ['not-found', false, 'not-applied'],
  ENOTDIR: ['not-found', false, 'not-applied'],
  EACCES: ['auth', false, 'not-applied'],
  EPERM: ['auth', false, 'not-applied'],
  EROFS: ['invalid', false, 'not-applied'],
  EISDIR: ['invalid', false, 'not-applied'],
  EINVAL: ['invalid', false, 'not-applied'],
  EEXIST: ['conflict', false, 'not-applied'],
  ENOTEMPTY: ['conflict', false, 'not-applied'],
};
