import type { Attempt, CallOptions, Failure, Phase } from '@outlast/core-retry';
import { retryInfo } from '@outlast/core-retry';
import { mark, onAbort } from '@outlast/core-retry/connector';
import {
  type AxiosAdapter,
  type AxiosRequestConfig,
  type AxiosResponse,
  default as axios,
  type InternalAxiosRequestConfig,
} from 'axios';
import type { ClientState } from './client-state.js';
import type { Target } from './connect.js';
import { guardRedirects } from './redirects.js';
import { factsOf, isConsumed, isIdempotent, type RetryRequestConfig } from './request-options.js';
import { routeOf } from './route.js';
import { track } from './tracking.js';

type Given = AxiosRequestConfig['adapter'];
type Sent = InternalAxiosRequestConfig;

const HTTP: AxiosAdapter = axios.getAdapter('http');
const names = new Map<string, string>();

/**
 * An adapter that sends by another one until it succeeds, or may not be repeated. Interceptors and
 * transformations have run by then, and run once.
 */
export function retryingAdapter(state: ClientState, given: Given): AxiosAdapter {
  return (config) => {
    const adapter = axios.getAdapter(given, config as never);
    // As plain axios: a policy around it may repeat it, and marks of ours would keep it from that.
    if ((config as RetryRequestConfig).retry === false) return adapter(config);
    return new Request(state, adapter, config).send();
  };
}

/** One request, over its attempts. */
class Request {
  private readonly state: ClientState;
  private readonly adapter: AxiosAdapter;
  private readonly config: Sent;
  private readonly tracked: boolean;
  private readonly facts: ReturnType<typeof factsOf>;
  private readonly once: boolean;
  /** Whether the attempt's phase follows what becomes of it. */
  private seen = false;
  /** The answer of the attempt before. */
  private answer: AxiosResponse | undefined;

  constructor(state: ClientState, adapter: AxiosAdapter, config: Sent) {
    this.state = state;
    this.adapter = adapter;
    this.config = config;
    this.tracked = adapter === HTTP;
    this.facts = factsOf(config);
    this.once = this.facts.data === undefined && isConsumed(config.data);
  }

  send(): Promise<AxiosResponse> {
    const { config, facts, state } = this;
    const { policy } = state;
    const { settings } = policy;
    const { attemptTimeoutMs, totalTimeoutMs } = facts.call;
    const { signal, release } = endOf(config);
    const bounded =
      signal !== undefined ||
      settings.bounded ||
      attemptTimeoutMs !== undefined ||
      totalTimeoutMs !== undefined;
    const idempotent = facts.call.idempotent ?? (settings.idempotent || isIdempotent(config));
    const call: CallOptions<AxiosResponse> = {
      operation: settings.operation ?? nameOf(config.method),
      ...facts.call,
      idempotent,
      ...(signal !== undefined && { signal }),
      ...(this.once && { maxAttempts: 1 }),
      ...(!idempotent && { classify: this.careful(facts.call.classify) }),
    };
    const patience = { leftMs: facts.waitMs ?? state.waitMs };
    const target = (): Target | undefined => this.target();
    const answered = policy
      .execute((attempt) => {
        this.discard();
        const sending = bounded ? attempt : unsignalled(attempt);
        return state.origins.send(target, sending, patience, !this.once, () =>
          this.attempt(sending, attempt),
        );
      }, call)
      .then(undefined, (error: unknown) => {
        throw this.surfaced(error, signal);
      });
    return release === undefined ? answered : answered.finally(release);
  }

  private async attempt(
    { signal }: { readonly signal?: AbortSignal | undefined },
    attempt: Attempt,
  ): Promise<AxiosResponse> {
    const { config, adapter, facts, tracked } = this;
    if (!tracked) attempt.phase = 'sent';
    const agents = tracked ? track(config, attempt) : undefined;
    this.seen = attempt.phase === 'connect';
    const sent = Object.assign(
      Object.create(Object.getPrototypeOf(config) as object | null) as Sent,
      config,
      agents,
    );
    if (signal !== undefined) sent.signal = signal;
    if (tracked && config.maxRedirects !== 0) {
      sent.beforeRedirect = guardRedirects(() => this.url(), config.beforeRedirect);
    }
    if (facts.data !== undefined) sent.data = await facts.data();
    try {
      const response = await adapter(sent);
      response.config = config;
      this.answer = response;
      return response;
    } catch (error) {
      const failed = error as { config?: unknown; response?: AxiosResponse } | null;
      if (failed?.config === sent) failed.config = config;
      if (failed?.response?.config === sent) failed.response.config = config;
      this.answer = failed?.response;
      throw error;
    }
  }

  /** Where it goes, if it can be asked whether the server is there again. */
  private target(): Target | undefined {
    const url = this.tracked ? this.url() : undefined;
    return url && routeOf(this.config, url);
  }

  private url(): URL | undefined {
    try {
      return new URL(this.state.base.getUri(this.config));
    } catch {
      return undefined;
    }
  }

  /** The answer before, which was no success, is not read. */
  private discard(): void {
    const body = this.answer?.data as Streaming | null | undefined;
    this.answer = undefined;
    if (typeof body?.destroy === 'function') body.destroy();
    else if (typeof body?.cancel === 'function') body.cancel().catch(() => {});
  }

  /**
   * A refused connection may be that of a redirect, after the request itself was answered: it is, if the
   * request was seen to be sent; it may be, where it cannot be seen.
   */
  private careful(own: CallOptions['classify']): (error: unknown, phase: Phase) => Failure {
    const classify = own ?? this.state.policy.settings.classify;
    return (error, phase) => {
      const failure = classify(error, phase);
      if (phase !== 'sent') return failure;
      const { response, request } = (error ?? {}) as {
        response?: unknown;
        request?: { _redirectCount?: number };
      };
      const refused = failure.transient && failure.outcome === 'not-applied' && !response;
      const direct = this.config.maxRedirects === 0 || request?._redirectCount === 0;
      return refused && (this.seen || !direct) ? { ...failure, outcome: 'unknown' } : failure;
    };
  }

  /** As axios says it of a request that was cancelled, marked with what became of it. */
  private surfaced(error: unknown, signal: AbortSignal | undefined): unknown {
    const info = retryInfo(error);
    if (signal?.aborted !== true || error !== signal.reason || axios.isCancel(error)) return error;
    const cancelled = new axios.CanceledError(undefined, this.config as never);
    Object.defineProperty(cancelled, 'cause', { value: error, configurable: true, writable: true });
    return info === undefined ? cancelled : mark(cancelled, info, this.state.policy, this);
  }
}

/** A body that has not been read: of Node, or of the web. */
interface Streaming {
  destroy?(): void;
  cancel?(): Promise<void>;
}

interface Unsignalled {
  phase: Phase;
  readonly signal?: undefined;
}

/** The attempt without its signal, which nobody would abort. */
function unsignalled(attempt: Attempt): Unsignalled {
  return {
    get phase() {
      return attempt.phase;
    },
    set phase(phase) {
      attempt.phase = phase;
    },
  };
}

/** What ends the request early: its signal, its cancel token, or both; and how to stop listening to them. */
function endOf({ signal: given, cancelToken }: Sent): {
  readonly signal: AbortSignal | undefined;
  readonly release?: () => void;
} {
  const signal = given as AbortSignal | undefined;
  if (cancelToken === undefined || cancelToken === null) return { signal };
  const controller = new AbortController();
  const stop = (reason: unknown): void => controller.abort(reason);
  const token = cancelToken as Token;
  token.subscribe(stop);
  if (signal?.aborted) stop(signal.reason);
  const unwatch = signal?.aborted === false ? onAbort(signal, stop) : undefined;
  const release = (): void => {
    token.unsubscribe(stop);
    unwatch?.();
  };
  return { signal: controller.signal, release };
}

/** What axios' own types leave out. */
interface Token {
  subscribe(listener: (reason: unknown) => void): void;
  unsubscribe(listener: (reason: unknown) => void): void;
}

function nameOf(method = 'get'): string {
  let name = names.get(method);
  if (name === undefined) {
    name = `http.${method.toLowerCase()}`;
    // A method is any word that a caller makes up.
    if (names.size < 64) names.set(method, name);
  }
  return name;
}
