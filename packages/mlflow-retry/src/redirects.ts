import axios from 'axios';
import { readAnswer } from './answer.js';
import { MlflowError } from './errors.js';
import { type Exchanged, exchange, type Request } from './exchange.js';
import type { Transport } from './transport.js';

const MOST_HOPS = 5;

/** Goes to another place, without anything that is meant for this one. */
const anonymous = axios.create({ maxRedirects: 0 });

/**
 * Follows the redirects of a GET, at most five. What is meant for the tracking server, credentials first of all,
 * goes to its own origin only; from https to http nobody goes.
 *
 * @throws MlflowError for a redirect that is not followed
 */
export async function followRedirects(
  transport: Transport,
  request: Request,
  first: Exchanged,
): Promise<Exchanged> {
  let answer = first;
  let from = new URL(request.url);
  for (let hop = 0; isRedirect(answer); hop++) {
    answer.body.destroy();
    const refuse = (why: string): MlflowError =>
      new MlflowError(request.operation, {
        ...readAnswer(answer.status, answer.headers, ''),
        reason: why,
      });
    const to = target(answer, from);
    if (to === undefined) throw refuse('the redirect leads nowhere');
    const place = `${to.origin}${to.pathname}`;
    if (request.method !== 'GET') {
      throw refuse(
        `redirected to ${place}; only reads follow redirects. Is that the tracking URI?`,
      );
    }
    if (hop >= MOST_HOPS) throw refuse(`more than ${MOST_HOPS} redirects, the last to ${place}`);
    if (from.protocol === 'https:' && to.protocol !== 'https:') {
      throw refuse(`redirected from https to ${place}, which is not followed`);
    }
    const home = to.origin === transport.settings.address.origin;
    const { accept } = request.headers;
    answer = await exchange(home ? transport.axios : anonymous, {
      ...request,
      url: to.href,
      headers: home ? request.headers : { ...(accept && { accept }) },
    });
    from = to;
  }
  return answer;
}

function isRedirect({ status, headers }: Exchanged): boolean {
  return [301, 302, 303, 307, 308].includes(status) && headers.location !== undefined;
}

function target({ headers }: Exchanged, from: URL): URL | undefined {
  try {
    const to = new URL(headers.location ?? '', from);
    return to.protocol === 'http:' || to.protocol === 'https:' ? to : undefined;
  } catch {
    return undefined;
  }
}
