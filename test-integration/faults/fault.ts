import type { Pattern } from './pattern.js';

/** Which way bytes go: from the client to the server, or back. */
export type Direction = 'request' | 'reply';

/** How a client is cut: `reset` sends an RST (ECONNRESET), `fin` closes in good order. */
export type Cut = 'reset' | 'fin';

/**
 * What happens to the connection whose bytes matched.
 *
 * | fault | a request that matches | a reply that matches |
 * |---|---|---|
 * | `cut-before` | is not forwarded, the client is cut | is not forwarded, the client is cut |
 * | `cut-after` | is forwarded; when the server has answered, the client is cut without the answer | is forwarded, then the client is cut |
 * | `hold` | client cut at once; the request reaches the server `holdMs` later | is delivered `holdMs` late, with all that follows |
 * | `silence` | is forwarded, nothing ever comes back | is swallowed, and all that follows |
 */
export type FaultKind = 'cut-before' | 'cut-after' | 'hold' | 'silence';

/** A fault and its manner. */
export interface FaultSpec {
  fault: FaultKind;
  /** Default `reset`. */
  how?: Cut;
  /** For `hold`: how late the bytes are delivered, ms. Default 1200. */
  holdMs?: number;
  /**
   * For `cut-after` on a request: what counts as the server's answer. Default: any byte. Name a pattern where
   * requests are pipelined or the server talks before it is done; for PostgreSQL `POSTGRES_READY`.
   */
  answered?: Pattern;
  /** For `cut-after` on a request: cut after so many ms even without an answer. Default 2000. */
  answerMs?: number;
}

/** What one fault did to one connection, known when it is over. */
export interface FaultHit {
  fault: FaultKind;
  /** The connection's `id`. */
  connection: number;
  /** Whether the server had answered (`cut-after`) or the bytes had been delivered (`hold`, `silence`). */
  delivered: boolean;
}
