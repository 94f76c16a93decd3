import { OptionError, RetryPolicy, retryInfo } from '@outlast/core-retry';
import type { ClientState } from './client-state.js';
import type { RetryRequestConfig } from './request-options.js';
import { cleanUrl, hideSecrets } from './secrets.js';
import { track } from './tracking.js';

/** What a health page shows. */
export interface Health {
  readonly ok: boolean;
  /** How long the check took, in milliseconds. */
  readonly ms: number;
  readonly attempts: number;
  /** The error of axios, if it failed. */
  readonly error?: unknown;
  readonly details: {
    /** What was asked. */
    readonly url: string;
    /** The answer's, if there was one. */
    readonly status?: number;
  };
}

const ATTEMPT_TIMEOUT_MS = 5000;

/** A GET of the URL: three attempts, 0.5 s to 5 s between them, without patience. */
export async function checkHealth(
  { policy, base }: ClientState,
  url: string | undefined,
  config: RetryRequestConfig | undefined,
): Promise<Health> {
  const { clock, random, classify } = policy.settings;
  const own = new RetryPolicy({
    maxAttempts: 3,
    baseDelayMs: 500,
    maxDelayMs: 5000,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    operation: 'http.healthCheck',
    classify,
    clock,
    random,
  });
  const start = clock.now();
  const asked = base.getUri({ ...config, url: url ?? '' });
  const details = (status: unknown): Health['details'] => ({
    url: cleanUrl(asked),
    ...(typeof status === 'number' && { status }),
  });
  let attempts = 0;
  try {
    if (!URL.canParse(asked)) {
      throw new OptionError('healthCheck(url)', 'needs a URL, for the client has no baseURL.');
    }
    const { status } = await own.execute((attempt) => {
      attempts = attempt.number;
      const agents = track({ ...base.defaults, ...config } as never, attempt);
      return base.request({ ...config, ...agents, url: url ?? '', signal: attempt.signal });
    });
    return { ok: true, ms: clock.now() - start, attempts, details: details(status) };
  } catch (error) {
    hideSecrets(error);
    attempts = retryInfo(error)?.attempts ?? attempts;
    const status = (error as { response?: { status?: unknown } } | null)?.response?.status;
    return { ok: false, ms: clock.now() - start, attempts, error, details: details(status) };
  }
}
