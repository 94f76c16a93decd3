import type { Readable } from 'node:stream';
import {
  type AxiosInstance,
  type AxiosRequestConfig,
  type AxiosResponse,
  default as axios,
} from 'axios';
import { header } from './classify.js';
import { RedirectRefusedError } from './errors.js';
import { leavesOrigin, refuseDowngrade } from './redirects.js';
import { type Tracked, track, trackingAgents } from './tracking.js';

/** A GET whose redirects are followed by hand. */
export interface Hopping {
  readonly client: AxiosInstance;
  /** As the caller gave it. */
  readonly url: string;
  /** The same, absolute. */
  readonly absolute: URL;
  /** The caller's. */
  readonly headers: Readonly<Record<string, string>>;
  /** Ours, which go everywhere. */
  readonly own: Readonly<Record<string, string>>;
  readonly maxRedirects: number;
  readonly signal: AbortSignal;
  readonly attempt: Tracked;
}

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const NOTHING = { serialize: () => '' };

/** Asks, and follows. Once the origin has changed nothing of the caller's goes along but his agents. */
export async function get(how: Hopping): Promise<AxiosResponse<Readable>> {
  const { client, absolute } = how;
  let response = await client.request<Readable>({
    ...shared(how),
    ...track(client.defaults, how.attempt),
    url: how.url,
    headers: { ...how.headers, ...how.own },
  });
  let at = absolute;
  let stranger: AxiosInstance | undefined;
  for (let hops = 0; REDIRECTS.includes(response.status); hops++) {
    const location = header(response.headers, 'location');
    if (location === undefined) return response;
    response.data.destroy();
    const next = nextUrl(location, at, hops, how.maxRedirects);
    if (stranger === undefined && leavesOrigin(absolute, next)) stranger = strangerOf(client);
    at = next;
    const config = { ...shared(how), ...trackingAgents(client.defaults, how.attempt) };
    if (stranger !== undefined) {
      next.username = '';
      next.password = '';
      const headers = { Accept: '*/*', ...how.own };
      response = await stranger.request<Readable>({ ...config, url: next.href, headers });
    } else {
      if (next.username === '') {
        next.username = absolute.username;
        next.password = absolute.password;
      }
      const headers = { ...how.headers, ...how.own };
      // The client's own parameters are in the URL that redirected, or are not wanted.
      const paramsSerializer = NOTHING;
      response = await client.request<Readable>({
        ...config,
        url: next.href,
        headers,
        paramsSerializer,
        allowAbsoluteUrls: true,
      });
    }
  }
  return response;
}

function nextUrl(location: string, at: URL, hops: number, maxRedirects: number): URL {
  if (hops >= maxRedirects) {
    throw new RedirectRefusedError(
      `${maxRedirects} have been followed, which is all that is allowed`,
    );
  }
  const next = parse(location, at);
  if (next === undefined || (next.protocol !== 'http:' && next.protocol !== 'https:')) {
    throw new RedirectRefusedError('it leads to what is no URL of a web server');
  }
  refuseDowngrade(at, next);
  return next;
}

function parse(location: string, at: URL): URL | undefined {
  try {
    return new URL(location, at);
  } catch {
    return undefined;
  }
}

function shared(how: Hopping): AxiosRequestConfig {
  return {
    method: 'get',
    responseType: 'stream',
    adapter: 'http',
    maxRedirects: 0,
    decompress: false,
    maxContentLength: -1,
    timeout: 0,
    validateStatus: () => true,
    signal: how.signal,
  };
}

/** A client that knows the way (agents, proxy, resolver), and none of the caller's secrets. */
function strangerOf({ defaults }: AxiosInstance): AxiosInstance {
  const { httpAgent, httpsAgent, proxy, lookup, family } = defaults;
  const way = { httpAgent, httpsAgent, proxy, lookup, family };
  const given = Object.entries(way).filter(([, value]) => value !== undefined);
  return new axios.Axios(Object.fromEntries(given)) as AxiosInstance;
}
