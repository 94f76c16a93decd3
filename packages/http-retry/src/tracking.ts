import http, { type ClientRequest } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Phase } from '@outlast/core-retry';
import type { AxiosRequestConfig } from 'axios';

/** Whose phase follows the request. */
export interface Tracked {
  phase: Phase;
}

/** Connecting takes so long at most, a TLS handshake included; Node has no bound of its own. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** What of a config says which way a request goes. */
export type Way = Pick<
  AxiosRequestConfig,
  'httpAgent' | 'httpsAgent' | 'httpVersion' | 'lookup' | 'proxy' | 'socketPath' | 'transport'
>;
type Agents = Pick<AxiosRequestConfig, 'httpAgent' | 'httpsAgent'>;
type AddRequest = (request: ClientRequest, ...rest: unknown[]) => void;
interface AgentLike {
  addRequest: AddRequest;
  readonly options?: { readonly proxyEnv?: unknown };
}

const NO_AGENTS: Agents = Object.freeze({});

/**
 * The request's own agents, through which it can be seen how far it comes: waiting for a socket,
 * connecting, sent. Nothing else about them is changed. None where the way to the server is not known:
 * behind a proxy, over HTTP/2, by another transport.
 */
export function trackingAgents(config: Way, attempt: Tracked): Agents {
  if (!isDirect(config)) return NO_AGENTS;
  const { httpAgent = http.globalAgent, httpsAgent = https.globalAgent } = config;
  if (!isAgent(httpAgent) || !isAgent(httpsAgent)) return NO_AGENTS;
  return { httpAgent: watching(httpAgent, attempt), httpsAgent: watching(httpsAgent, attempt) };
}

/** Whether the request goes straight to the server that its URL names. */
export function isDirect(config: Way): boolean {
  const { proxy } = config;
  if (proxy === undefined || proxy === null) {
    if (hasProxyVariables()) return false;
  } else if (proxy !== false) return false;
  if (config.transport !== undefined && config.transport !== null) return false;
  return config.httpVersion === undefined || Number(config.httpVersion) === 1;
}

const VARIABLES = ['http_proxy', 'https_proxy', 'all_proxy'].flatMap((name) => [
  name,
  name.toUpperCase(),
]);

function hasProxyVariables(): boolean {
  return VARIABLES.some((name) => process.env[name]);
}

function isAgent(agent: unknown): agent is AgentLike {
  const it = agent as Partial<AgentLike> | null | undefined;
  return typeof it?.addRequest === 'function' && !it.options?.proxyEnv;
}

/** As {@link trackingAgents}, for a request that has not begun: its attempt's phase says whether it is seen. */
export function track(config: Way, attempt: Tracked): Agents {
  const agents = trackingAgents(config, attempt);
  attempt.phase = agents === NO_AGENTS ? 'sent' : 'connect';
  return agents;
}

function watching(agent: AgentLike, attempt: Tracked): AgentLike {
  const own = Object.create(agent) as AgentLike;
  own.addRequest = (request, ...rest) => {
    follow(request, attempt);
    agent.addRequest(request, ...rest);
  };
  return own;
}

function follow(request: ClientRequest, attempt: Tracked): void {
  // A redirect of a request that was answered is one that was sent.
  if (attempt.phase === 'sent') return;
  attempt.phase = 'connect';
  request.once('socket', (socket: Socket) => {
    const secure = (socket as Partial<TLSSocket>).encrypted === true;
    const connecting = secure
      ? (socket as TLSSocket & { secureConnecting?: boolean }).secureConnecting !== false
      : socket.connecting;
    if (!connecting) {
      attempt.phase = 'sent';
      return;
    }
    const late = (): void => {
      request.destroy(socket.connecting ? connectTimedOut() : handshakeTimedOut());
    };
    const timer = setTimeout(late, CONNECT_TIMEOUT_MS);
    const stop = (): void => clearTimeout(timer);
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      attempt.phase = 'sent';
      stop();
    });
    request.once('close', stop);
  });
}

/** As the system says it. */
function connectTimedOut(): Error {
  return Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT', syscall: 'connect' });
}

/** The server is there, and mute: that is no outage, which would be waited out, but an attempt that failed. */
function handshakeTimedOut(): Error {
  const message = `The server took part in no TLS handshake for ${CONNECT_TIMEOUT_MS} ms.`;
  return Object.assign(new Error(message), { code: 'ERR_SOCKET_CONNECTION_TIMEOUT' });
}
