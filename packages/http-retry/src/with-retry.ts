import { OptionError, type RetryPolicy } from '@outlast/core-retry';
import type { AxiosInstance, AxiosRequestConfig, AxiosResponse, CreateAxiosDefaults } from 'axios';
import { retryingAdapter } from './adapter.js';
import { type ClientState, rememberClient, stateOf } from './client-state.js';
import { Origins } from './connect.js';
import { download } from './download.js';
import type { Download, DownloadOptions, DownloadSource } from './download-options.js';
import { checkHealth, type Health } from './health.js';
import { clientSettings, type HttpRetryOptions } from './options.js';
import type { RetryRequestConfig } from './request-options.js';
import { hideSecrets, originalConfig } from './secrets.js';

// As in axios: a drop-in is no stricter than what it replaces.
// biome-ignore lint/suspicious/noExplicitAny: the default of axios' own types
type Any = any;

type Bare = <T = Any, R = AxiosResponse<T>, D = Any>(
  url: string,
  config?: RetryRequestConfig<D>,
) => Promise<R>;
type WithData = <T = Any, R = AxiosResponse<T>, D = Any>(
  url: string,
  data?: D,
  config?: RetryRequestConfig<D>,
) => Promise<R>;

/** What an instance of axios has more once it retries. */
export interface Retrying {
  <T = Any, R = AxiosResponse<T>, D = Any>(config: RetryRequestConfig<D>): Promise<R>;
  <T = Any, R = AxiosResponse<T>, D = Any>(url: string, config?: RetryRequestConfig<D>): Promise<R>;
  request<T = Any, R = AxiosResponse<T>, D = Any>(config: RetryRequestConfig<D>): Promise<R>;
  readonly get: Bare;
  readonly delete: Bare;
  readonly head: Bare;
  readonly options: Bare;
  readonly post: WithData;
  readonly put: WithData;
  readonly patch: WithData;
  readonly postForm: WithData;
  readonly putForm: WithData;
  readonly patchForm: WithData;
  /** Events, and what the options came to. */
  readonly policy: RetryPolicy;
  /** A client of the same policy, or of its own if the config says `retry`. */
  create(
    config?: CreateAxiosDefaults & { readonly retry?: HttpRetryOptions },
  ): Retrying & AxiosInstance;
  /** Fetches a file, whole, or says why not: see {@link download}. */
  download(
    source: string | URL | DownloadSource,
    path: string,
    options?: Omit<DownloadOptions, 'client'>,
  ): Promise<Download>;
  /** Asks the `baseURL`, or another URL, by GET: at most three times, 5 s each, without patience. Never rejects. */
  healthCheck(url?: string, config?: RetryRequestConfig): Promise<Health>;
  /** Ends what waits or sleeps, and refuses what comes later. Connections belong to the agents. */
  close(): void;
}

type Method = (...args: unknown[]) => unknown;
type Methods = Record<string | symbol, unknown>;

/** Where the config stands among the arguments. */
const CONFIG_AT: Readonly<Record<string, number>> = {
  get: 1,
  delete: 1,
  head: 1,
  options: 1,
  query: 2,
  post: 2,
  put: 2,
  patch: 2,
  postForm: 2,
  putForm: 2,
  patchForm: 2,
};

/**
 * An instance that outlasts restarts and cut wires. It is the given one in everything (interceptors,
 * defaults, `create`, called as a function), but for what becomes of a request that fails. The given one
 * stays as it is.
 *
 * @throws OptionError for a bad option, and for what is no instance of axios
 */
export function withRetry<T extends AxiosInstance>(
  instance: T,
  options?: HttpRetryOptions,
): Retrying & T {
  if (typeof instance !== 'function' || typeof instance.request !== 'function') {
    throw new OptionError('withRetry(instance)', 'must be an instance of axios.');
  }
  const base = (stateOf(instance)?.base ?? instance) as T;
  const settings = clientSettings(options);
  const state = { ...settings, base, origins: new Origins(settings.policy) };
  return derive(base, () => state, options);
}

interface Armed {
  readonly of: unknown;
  readonly made: AxiosRequestConfig['adapter'];
}

const NO_ADAPTER: Armed = { of: Symbol('none'), made: undefined };

/** @param state asked when it is first needed */
export function derive<T extends AxiosInstance>(
  base: T,
  state: () => ClientState,
  options: HttpRetryOptions | undefined,
): Retrying & T {
  const own: Methods = Object.create(null);
  let adapter = NO_ADAPTER;

  // The adapter is what repeats; it goes with each request, and the instance never sees it.
  const armed = (config: object | undefined): object => {
    const given = originalConfig(config ?? {}) as RetryRequestConfig;
    const of = given.adapter ?? base.defaults.adapter;
    if (adapter?.of !== of) adapter = { of, made: retryingAdapter(state(), of) };
    return { ...given, adapter: adapter.made };
  };
  const surfacing = async (answer: unknown): Promise<unknown> => {
    try {
      return await answer;
    } catch (error) {
      hideSecrets(error);
      throw error;
    }
  };
  const request = (target: unknown, config?: object): Promise<unknown> =>
    typeof target === 'string'
      ? surfacing(base.request({ ...armed(config), url: target }))
      : surfacing(base.request(armed(target as object)));

  own['request'] = request;
  for (const [name, at] of Object.entries(CONFIG_AT)) {
    const method = (base as unknown as Methods)[name];
    if (typeof method !== 'function') continue;
    own[name] = (...args: unknown[]): Promise<unknown> => {
      while (args.length < at) args.push(undefined);
      args[at] = armed(args[at] as object | undefined);
      return surfacing((base as unknown as Record<string, Method>)[name]?.(...args));
    };
  }
  own['create'] = (config: { retry?: HttpRetryOptions } & CreateAxiosDefaults = {}) => {
    const { retry, ...rest } = config;
    const made = base.create(rest);
    if (retry !== undefined) return withRetry(made, { ...options, ...retry });
    return derive(made, () => ({ ...state(), base: made }), options);
  };
  const client = new Proxy(base, {
    apply: (_target, _self, args: [unknown, object?]) => request(...args),
    get(target, key, receiver) {
      if (key === 'policy') return state().policy;
      if (key in own) return own[key];
      return Reflect.get(target, key, receiver === client ? target : receiver);
    },
    set(target, key, value) {
      if (key in own) own[key] = value;
      else Reflect.set(target, key, value);
      return true;
    },
    has: (target, key) => key === 'policy' || key in own || key in target,
  }) as Retrying & T;
  own['download'] = (source: DownloadSource, path: string, given: DownloadOptions = {}) =>
    download(source, path, { ...given, client });
  own['healthCheck'] = (url?: string, config?: RetryRequestConfig) =>
    checkHealth(state(), url, config);
  own['close'] = (): void => {
    state().policy.close();
    state().origins.close();
  };
  if ('default' in base) own['default'] = client;
  rememberClient(client, state);
  return client;
}
