import { OptionError, RetryPolicy } from '@outlast/core-retry';
import {
  type ConnectorDefaults,
  type ConnectorRetryOptions,
  checkOptions,
  connectorOptions,
  duration,
  flag,
  invalidOption,
  type Known,
  nonEmptyText,
  wholeNumber,
} from '@outlast/core-retry/connector';
import { type Address, readAddress } from './address.js';
import type { TlsOptions } from './agents.js';
import { classifyMlflow } from './classify.js';
import { authorization } from './credentials.js';
import { type Environment, number, text, translated, truth } from './environment.js';

const ENV_PREFIXES: readonly string[] = ['MLFLOW_RETRY'];

/** Three attempts, 2 s to 30 s between them. */
const DEFAULTS: ConnectorDefaults = { maxAttempts: 3, baseDelayMs: 2000, maxDelayMs: 30_000 };

/** As Python's client: `MLFLOW_HTTP_REQUEST_TIMEOUT`. */
const DEFAULT_TIMEOUT_MS = 120_000;

/** Its own pool of connections holds 5 and lets 10 more wait: above that MLflow answers with 400. */
const DEFAULT_MAX_CONCURRENT = 15;

/**
 * Options of a client. What is not given is looked for in the variables that MLflow's users have set already;
 * code wins over the environment, the environment over `~/.mlflow/credentials`.
 */
export interface MlflowClientOptions {
  /** `http://host:5000`, with a path if the server is behind one. Else `MLFLOW_TRACKING_URI`. */
  readonly trackingUri?: string;
  /** Else `MLFLOW_TRACKING_USERNAME`. With a password it wins over a token. */
  readonly username?: string;
  /** Else `MLFLOW_TRACKING_PASSWORD`. */
  readonly password?: string;
  /** Sent as Bearer. Else `MLFLOW_TRACKING_TOKEN`. */
  readonly token?: string;
  /** Else `MLFLOW_WORKSPACE`. */
  readonly workspace?: string;
  /** Sent with every request to the tracking server, and to nobody else. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether a certificate may be anybody's. Default false; else `MLFLOW_TRACKING_INSECURE_TLS`. */
  readonly insecureTls?: boolean;
  /** PEM file of the authority that signed the server's certificate. Else `MLFLOW_TRACKING_SERVER_CERT_PATH`. */
  readonly serverCertPath?: string;
  /** PEM file with our own certificate and its key. Else `MLFLOW_TRACKING_CLIENT_CERT_PATH`. */
  readonly clientCertPath?: string;
  /** The longest silence of the server, in milliseconds. Default 120 000; else `MLFLOW_HTTP_REQUEST_TIMEOUT`, in seconds. */
  readonly timeoutMs?: number;
  /** How many calls may be under way at a time. Default 15. */
  readonly maxConcurrent?: number;
  /** Retries, patience, breaker, logger. Else `MLFLOW_RETRY_…`, else `MLFLOW_HTTP_REQUEST_…`. */
  readonly retry?: ConnectorRetryOptions;
}

/** Bounds of one call. Every method takes them among its options. */
export interface CallBounds {
  /** Aborts the call, with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Bound on the whole call, retries included, in milliseconds. */
  readonly totalTimeoutMs?: number;
}

/** What a client has settled of its options. */
export interface ClientSettings {
  readonly address: Address;
  /** Sent to the tracking server's own origin only. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsOptions;
  readonly timeoutMs: number;
  readonly maxConcurrent: number;
  readonly policy: RetryPolicy;
  /** How long a call waits while the server cannot be reached, in milliseconds. */
  readonly waitMs: number;
}

/** The checks of {@link MlflowClientOptions}. */
const CLIENT_OPTIONS: Known<MlflowClientOptions> = {
  // Read, and refused with more words, by readAddress.
  trackingUri: undefined,
  username: nonEmptyText,
  password: secret,
  token: secret,
  workspace: nonEmptyText,
  headers: plainHeaders,
  insecureTls: flag,
  serverCertPath: nonEmptyText,
  clientCertPath: nonEmptyText,
  timeoutMs: duration({ min: 1, infinite: true }),
  maxConcurrent: wholeNumber(1, true),
  retry: undefined,
};

/** @throws OptionError naming the option or variable, the value and what is valid */
export function clientSettings(
  options: MlflowClientOptions,
  env: Environment = process.env,
): ClientSettings {
  if (typeof options !== 'object' || options === null) {
    throw invalidOption('options', options, "an object such as { trackingUri: 'http://…' }");
  }
  const { password, token, ...shown } = options;
  for (const [name, value] of Object.entries({ password, token })) {
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw new OptionError(name, 'must be a text that is not empty; it is not shown here.');
    }
  }
  checkOptions('', shown, CLIENT_OPTIONS);
  const address = addressOf(options.trackingUri, env);
  const code = {
    username: options.username ?? address.username,
    password: options.password ?? address.password,
    token: options.token,
  };
  const ofUri = options.trackingUri === undefined;
  const given = ofUri ? { ...code, username: options.username, password: options.password } : code;
  const surroundings = ofUri ? withCredentials(env, address) : env;
  const credentials = authorization(given, surroundings);
  const workspace = options.workspace ?? text(env, 'MLFLOW_WORKSPACE');
  const timeout = number(env, 'MLFLOW_HTTP_REQUEST_TIMEOUT');
  return {
    address,
    headers: {
      ...(credentials && { authorization: credentials }),
      ...(workspace && { 'x-mlflow-workspace': workspace }),
      ...lowerCased(options.headers ?? {}),
    },
    tls: {
      insecureTls: options.insecureTls ?? truth(env, 'MLFLOW_TRACKING_INSECURE_TLS') ?? false,
      serverCertPath: options.serverCertPath ?? text(env, 'MLFLOW_TRACKING_SERVER_CERT_PATH'),
      clientCertPath: options.clientCertPath ?? text(env, 'MLFLOW_TRACKING_CLIENT_CERT_PATH'),
    },
    timeoutMs: options.timeoutMs ?? (timeout ? timeout * 1000 : DEFAULT_TIMEOUT_MS),
    maxConcurrent: options.maxConcurrent ?? DEFAULT_MAX_CONCURRENT,
    ...makePolicy(options.retry, env),
  };
}

/**
 * A retry policy with the classifier, the environment and the defaults of this package, for what is not
 * wrapped: other clients of MLflow, own calls of its API. `idempotent` is false unless said otherwise.
 *
 * @throws OptionError naming the option or variable, the value and what is valid
 */
export function mlflowRetry(options?: ConnectorRetryOptions): RetryPolicy {
  return makePolicy(options, process.env).policy;
}

function makePolicy(
  options: ConnectorRetryOptions | undefined,
  env: Environment,
): { readonly policy: RetryPolicy; readonly waitMs: number } {
  const { retry, waitMs } = connectorOptions(options, ENV_PREFIXES, DEFAULTS, translated(env));
  const policy = new RetryPolicy({
    classify: classifyMlflow,
    // The first retry after a lost connection is paced by the reconnect.
    delayMs: ({ category }, { number }) => (category === 'network' && number === 1 ? 0 : undefined),
    ...retry,
  });
  return { policy, waitMs };
}

function addressOf(given: string | undefined, env: Environment): Address {
  if (given !== undefined) return readAddress('trackingUri', given);
  const variable = text(env, 'MLFLOW_TRACKING_URI');
  if (variable !== undefined) return readAddress('MLFLOW_TRACKING_URI', variable);
  throw new OptionError(
    'trackingUri',
    "is missing, and MLFLOW_TRACKING_URI is not set. Give the URL of a tracking server, such as 'http://127.0.0.1:5000'.",
  );
}

/** What stands in a URL of the environment counts as set there. */
function withCredentials(env: Environment, { username, password }: Address): Environment {
  return {
    ...env,
    MLFLOW_TRACKING_USERNAME: text(env, 'MLFLOW_TRACKING_USERNAME') ?? username,
    MLFLOW_TRACKING_PASSWORD: text(env, 'MLFLOW_TRACKING_PASSWORD') ?? password,
  };
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

function secret(): undefined {
  return undefined;
}

function plainHeaders(value: unknown): string | undefined {
  const right = "an object of texts such as { 'x-team': 'vision' }";
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return right;
  const good = Object.entries(value).every(
    ([name, text]) =>
      /^[!#$%&'*+.^_`|~\w-]+$/.test(name) && typeof text === 'string' && !/[\r\n\0]/.test(text),
  );
  return good ? undefined : right;
}
