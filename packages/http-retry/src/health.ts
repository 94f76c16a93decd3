import { OptionError } from '@outlast/core-retry';
import { askHealth, type HealthReport } from '@outlast/core-retry/connector';
import type { ClientState } from './client-state.js';
import { guardRedirects } from './redirects.js';
import type { RetryRequestConfig } from './request-options.js';
import { cleanUrl, hideSecrets } from './secrets.js';
import { track } from './tracking.js';

/** What a health page shows. */
export interface Health extends HealthReport<HealthDetails> {}

interface HealthDetails {
  /** What was asked. */
  readonly url: string;
  /** The answer's, if there was one. */
  readonly status?: number;
}

/** A GET of the URL, without patience. Never rejects. */
export async function checkHealth(
  { policy, base }: ClientState,
  url: string | undefined,
  config: RetryRequestConfig | undefined,
): Promise<Health> {
  const asked = base.getUri({ ...config, url: url ?? '' });
  return askHealth({
    operation: 'http.healthCheck',
    policy,
    classify: policy.settings.classify,
    ask: async (attempt) => {
      if (!URL.canParse(asked)) {
        throw new OptionError('healthCheck(url)', 'needs a URL, for the client has no baseURL.');
      }
      const agents = track({ ...base.defaults, ...config } as never, attempt);
      const beforeRedirect = guardRedirects(() => new URL(asked), config?.beforeRedirect);
      const { signal } = attempt;
      const request = { ...config, ...agents, url: url ?? '', signal, beforeRedirect };
      return (await base.request(request)).status;
    },
    details: (answered, error) => {
      if (error !== undefined) hideSecrets(error);
      const refused = (error as { response?: { status?: unknown } } | undefined)?.response?.status;
      const status = answered ?? refused;
      return { url: cleanUrl(asked), ...(typeof status === 'number' && { status }) };
    },
  });
}
