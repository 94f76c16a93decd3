import type { Category, Outcome } from '@outlast/core-retry';

/** Category, whether the same request may succeed later, and whether it can have taken effect. */
export type Meaning = readonly [Category, boolean, Outcome];

const THROTTLED: Meaning = ['throttled', true, 'not-applied'];
const ILL: Meaning = ['unavailable', true, 'unknown'];
const TIMED_OUT: Meaning = ['timeout', true, 'unknown'];

/**
 * What a status means. What is not listed is final: 4xx was refused, of any other it is not known
 * whether it took effect.
 *
 * Sources: RFC 9110 (15.5, 15.6), RFC 6585 (429), RFC 8470 (425); 509 of Apache and cPanel, 520 to 524 of Cloudflare.
 */
const STATUSES: Readonly<Record<number, Meaning>> = {
  401: ['auth', false, 'not-applied'],
  402: ['auth', false, 'not-applied'],
  403: ['auth', false, 'not-applied'],
  404: ['not-found', false, 'not-applied'],
  407: ['auth', false, 'not-applied'],
  // "The server did not receive a complete request": but a proxy's clock may say so of one that went through.
  408: TIMED_OUT,
  409: ['conflict', false, 'not-applied'],
  410: ['not-found', false, 'not-applied'],
  412: ['conflict', false, 'not-applied'],
  425: ['unavailable', true, 'unknown'],
  429: THROTTLED,
  500: ILL,
  501: ['invalid', false, 'not-applied'],
  502: ILL,
  503: ILL,
  504: TIMED_OUT,
  505: ['invalid', false, 'not-applied'],
  509: ILL,
  520: ILL,
  521: ILL,
  522: TIMED_OUT,
  523: ILL,
  524: TIMED_OUT,
};

/** The statuses after which a request may be repeated, if its outcome and its method allow it. */
export const RETRYABLE_STATUSES: readonly number[] = Object.freeze(
  Object.entries(STATUSES).flatMap(([status, [, transient]]) =>
    transient ? [Number(status)] : [],
  ),
);

/**
 * @param told whether the answer says when to come back. Such a 503 is a refusal at the door, and a 413
 * one that may pass.
 */
export function meaningOf(status: number, told: boolean): Meaning {
  if (told && status === 503) return ['unavailable', true, 'not-applied'];
  if (told && status === 413) return THROTTLED;
  const known = STATUSES[status];
  if (known !== undefined) return known;
  return ['invalid', false, status >= 400 && status < 500 ? 'not-applied' : 'unknown'];
}
