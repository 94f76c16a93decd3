/** How often each thing really happened, since the proxy was made. */
export interface FaultCounts {
  /** Connections accepted. */
  connections: number;
  /** Times that `refuse()` closed the listener; the single refusals are the kernel's and cannot be counted. */
  refusals: number;
  /** Connections that the server behind the proxy did not take; their clients got an RST. */
  unreachable: number;
  /** Clients that the proxy cut by RST, by whichever fault. */
  resets: number;
  /** Clients that the proxy cut by FIN, by whichever fault. */
  fins: number;
  /** Cut, request not forwarded. */
  cutBefore: number;
  /** Cut after the request was forwarded and the server had answered. */
  cutAfter: number;
  /** `cut-after` whose server did not answer in time: cut too, outcome not proven. */
  cutUnanswered: number;
  /** Requests held back while their client was cut (delivered late, unless the session ended first), and held replies. */
  held: number;
  /** Matches after which the client got no more bytes. */
  silenced: number;
  /** Times that `silence()` froze everything. */
  silences: number;
}

/** All zero. */
export function noCounts(): FaultCounts {
  return {
    connections: 0,
    refusals: 0,
    unreachable: 0,
    resets: 0,
    fins: 0,
    cutBefore: 0,
    cutAfter: 0,
    cutUnanswered: 0,
    held: 0,
    silenced: 0,
    silences: 0,
  };
}
