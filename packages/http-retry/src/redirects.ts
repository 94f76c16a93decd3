import type { AxiosRequestConfig } from 'axios';
import { RedirectRefusedError } from './errors.js';

type BeforeRedirect = NonNullable<AxiosRequestConfig['beforeRedirect']>;

/**
 * Headers that say what is asked for, not who asks: these go along to another origin, as a body does.
 * `Proxy-Authorization` is by then the proxy's own: whoever follows has taken off any other.
 */
const IMPERSONAL =
  /^(accept(-.+)?|content-.+|range|if-.+|user-agent|host|transfer-encoding|connection|cache-control|proxy-authorization)$/i;

/**
 * What axios calls before it follows a redirect: refuses one from https to http, and takes the caller's headers and
 * credentials off for good once the origin changes. His own function is called after it, and may put some back.
 *
 * @param first where the request itself goes, asked at its first redirect
 */
export function guardRedirects(
  first: () => URL | undefined,
  own: BeforeRedirect | undefined,
): BeforeRedirect {
  let at: URL | undefined;
  return (options, ...details) => {
    const from = at ?? first();
    const to = new URL(options['href'] as string);
    at = to;
    if (from !== undefined) refuseDowngrade(from, to);
    if (from === undefined || leavesOrigin(from, to)) {
      const headers = options['headers'] as Record<string, unknown>;
      for (const name of Object.keys(headers)) if (!IMPERSONAL.test(name)) delete headers[name];
      delete options['auth'];
    }
    own?.(options, ...details);
  };
}

/** @throws RedirectRefusedError if what was private would no longer be */
export function refuseDowngrade(from: URL, to: URL): void {
  if (from.protocol !== 'https:' || to.protocol !== 'http:') return;
  const where = `on ${to.host}, where anybody may read along`;
  throw new RedirectRefusedError(`it leads from https to http, ${where}`);
}

/** Whether somebody else answers there. A host that sends its callers from http to https is still itself. */
export function leavesOrigin(from: URL, to: URL): boolean {
  if (from.origin === to.origin) return false;
  const upgraded = from.protocol === 'http:' && to.protocol === 'https:';
  return !(upgraded && from.hostname === to.hostname && from.port === '' && to.port === '');
}
