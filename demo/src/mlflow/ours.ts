import { MlflowClient } from '@outlast/mlflow-retry';
import type { Client } from './client.js';

export function outlastClient(
  url: string,
  token: string,
  sample: (error: unknown) => void,
): Client {
  // a server that starts takes its time on a machine that is busy
  const client = new MlflowClient({ trackingUri: url, token, retry: { waitMs: 90_000 } });
  // for the search for the token: errors that were survived count too
  client.policy.on('retry', ({ error }) => sample(error));
  return {
    fetch: async (model, into) =>
      (await client.fetchModel(`models:/${model}/1`, { cacheDir: into })).path,
    end: () => client.close(),
  };
}
