import type { Failure, Phase, RetryPolicy } from '@outlast/core-retry';
import type { Patience } from '@outlast/core-retry/connector';
import axios, { type AxiosInstance } from 'axios';
import { MalformedAnswerError } from './fetch-model-errors.js';
import type { FetchLimits } from './fetch-model-limits.js';
import type { CallBounds } from './options.js';
import type { Transport } from './transport.js';

type AnswerObject = Readonly<Record<string, unknown>>;
type FetchQuery = Readonly<Record<string, string | readonly string[] | undefined>>;

/** A server as a fetch uses it. */
export interface ModelServer {
  /** Without credentials. */
  readonly address: string;
  readonly policy: RetryPolicy;
  readonly waitMs: number;
  /** Downloads go by it. */
  readonly client: AxiosInstance;
  /** GETs JSON from `/api/2.0` + path, with retries. */
  ask(path: string, query: FetchQuery): Promise<AnswerObject>;
  /** Runs one download, when there is a place for it among what is under way to this server. */
  inPlace<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  /**
   * Waits until the server is there again, for as long as patience is left.
   *
   * @returns false if it was there all the time
   * @throws the error of the last connect that failed; the signal's reason
   */
  reached(error: unknown, patience: Patience, signal: AbortSignal): Promise<boolean>;
  /** What any failure means. */
  verdict(error: unknown, phase?: Phase): Failure;
  /** The URL of a path below its address. */
  url(path: string): string;
  /** The server at another address; nothing of the caller's credentials goes to another origin. */
  at(address: string): ModelServer;
  /** The same server under another host, if one is named. */
  onHost(host: string): ModelServer;
}

/** The client's own server, for one fetch. */
export function trackingServer(transport: Transport, limits: FetchLimits): ModelServer {
  const { base: address, policy, axios: client, settings } = transport;
  const server: ModelServer = {
    address,
    policy,
    waitMs: settings.waitMs,
    client,
    ask: (path, query) =>
      transport.json({
        operation: 'fetchModel',
        path: `/api/2.0${path}`,
        query,
        pick: object,
        bounds: callBounds(limits),
      }),
    inPlace: (work, signal) => transport.inPlace(work, signal),
    reached: async (error, patience, until) => {
      const probes = transport.failedProbes;
      transport.reconnect.failed(error);
      await transport.reconnect.spend(patience, until);
      return transport.failedProbes > probes;
    },
    verdict: (error, phase) => transport.classify(error, phase),
    url: (path) => address + path,
    at: (other) => (other === address ? server : foreignServer(transport, other, limits)),
    onHost: (host) => server.at(onHost(address, host)),
  };
  return server;
}

function callBounds({ signal, leftMs }: FetchLimits): CallBounds {
  return { ...(signal && { signal }), totalTimeoutMs: leftMs };
}

/** Another server that a model's artifacts lie on. It is told nothing of who asks. */
function foreignServer(transport: Transport, address: string, limits: FetchLimits): ModelServer {
  const { policy, settings } = transport;
  const client = axios.create({ timeout: settings.timeoutMs, maxRedirects: 0 });
  const server: ModelServer = {
    address,
    policy,
    waitMs: settings.waitMs,
    client,
    ask: (path, params) =>
      policy.execute(
        async (attempt) => {
          const { data } = await client.get<unknown>(`${address}/api/2.0${path}`, {
            params,
            paramsSerializer: { indexes: null },
            signal: attempt.signal,
          });
          // A page, most likely: somebody wants a login.
          if (typeof data !== 'object') throw new MalformedAnswerError(address, 'JSON');
          return object(data);
        },
        { operation: 'mlflow.fetchModel', idempotent: true, ...callBounds(limits) },
      ),
    inPlace: (work) => work(),
    // Nobody watches whether that one comes back.
    reached: async (error) => {
      throw error;
    },
    verdict: (error, phase) => transport.classify(error, phase),
    url: (path) => address + path,
    at: (other) => (other === address ? server : foreignServer(transport, other, limits)),
    onHost: (host) => server.at(onHost(address, host)),
  };
  return server;
}

function onHost(address: string, host: string): string {
  if (host === '') return address;
  const { protocol, pathname } = new URL(address);
  return `${protocol}//${host.toLowerCase()}${pathname.replace(/\/+$/, '')}`;
}

function object(answer: unknown): AnswerObject {
  return typeof answer === 'object' && answer !== null ? (answer as AnswerObject) : {};
}
