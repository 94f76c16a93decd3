import type { Link } from './link.js';
import type { Strike } from './triggers.js';

/** Quiet time after which a held request is taken to be complete, ms. */
const GATHER_MS = 5;
const HOLD_MS = 1_200;

/** Runs a fault on a request of which `chunk` is the first part not yet forwarded. */
export function strikeRequest(link: Link, strike: Strike, chunk: Buffer): void {
  const { counts } = link;
  const { fault, how = 'reset', holdMs = HOLD_MS } = strike.spec;
  const over = (delivered: boolean): void => strike.over({ fault, connection: link.id, delivered });
  if (fault === 'cut-before') {
    link.cutClient(how);
    counts.cutBefore++;
    link.leaveServer();
    over(false);
  } else if (fault === 'cut-after') {
    link.mute();
    link.awaitAnswer(strike.spec, (answered) => {
      const cut = link.cutClient(how);
      if (cut && answered) counts.cutAfter++;
      else counts.cutUnanswered++;
      link.leaveServer();
      over(answered);
    });
    link.upstream.write(chunk);
  } else if (fault === 'hold') {
    const until = performance.now() + holdMs;
    // the server may end the session before its time; the first word about a hit counts
    link.upstream.once('close', () => over(false));
    // a request may come in several chunks, and the client is cut only when it has sent them all
    link.gather(chunk, GATHER_MS, (bytes) => {
      link.cutClient(how);
      counts.held++;
      link.later(until - performance.now(), () => {
        link.awaitAnswer(strike.spec, (answered) => {
          link.leaveServer();
          over(answered);
        });
        if (link.upstream.writable) link.upstream.write(bytes);
        else link.settle(false);
      });
    });
  } else {
    link.mute();
    counts.silenced++;
    link.upstream.write(chunk);
    over(true);
  }
}

/** Runs a fault on a reply of which `chunk` is the first part not yet delivered. */
export function strikeReply(link: Link, strike: Strike, chunk: Buffer): void {
  const { counts } = link;
  const { fault, how = 'reset', holdMs = HOLD_MS } = strike.spec;
  const over = (delivered: boolean): void => strike.over({ fault, connection: link.id, delivered });
  if (fault === 'hold') {
    counts.held++;
    link.reply.stall(chunk, holdMs);
    link.later(holdMs, () => over(!link.clientClosed));
  } else if (fault === 'silence') {
    link.mute();
    counts.silenced++;
    over(false);
  } else if (fault === 'cut-before') {
    link.cutClient(how);
    counts.cutBefore++;
    link.leaveServer();
    over(false);
  } else {
    link.mute();
    link.client.write(chunk, () => {
      link.cutClient(how);
      counts.cutAfter++;
      link.leaveServer();
      over(true);
    });
  }
}
