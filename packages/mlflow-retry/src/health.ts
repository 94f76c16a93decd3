import { askHealth, type HealthReport } from '@outlast/core-retry/connector';
import { classifyMlflow } from './classify.js';
import { readJson } from './json.js';
import type { Transport } from './transport.js';
import { Trial } from './trial.js';

/** What a health page shows. */
export interface Health extends HealthReport<HealthDetails> {}

interface HealthDetails {
  /** Whether `/health` answered. */
  readonly server: boolean;
  /** Whether a search in the registry did, which asks the database. */
  readonly database: boolean;
  /** Calls that are under way. */
  readonly running: number;
  /** Calls that wait for their turn, or for the server. */
  readonly waiting: number;
}

/** Without patience; never rejects. `/health` is answered by a server whose database is gone, so that alone proves nothing. */
export function checkHealth(transport: Transport): Promise<Health> {
  let server = false;
  let database = false;
  return askHealth({
    operation: 'mlflow.healthCheck',
    policy: transport.policy,
    classify: classifyMlflow,
    ask: async (attempt) => {
      const ask = async (path: string): Promise<void> => {
        const trial = new Trial(transport, 'mlflow.healthCheck', true, true);
        const url = transport.url(path, path === '/health' ? {} : { max_results: 1 });
        const send = (): Promise<unknown> =>
          trial
            .send({ method: 'GET', url, headers: { accept: 'application/json' } })
            .then((answer) => readJson('mlflow.healthCheck', answer, path === '/health'));
        await trial.run(attempt, send);
      };
      server = database = false;
      await ask('/health');
      server = true;
      await ask('registered-models/search');
      database = true;
    },
    details: () => {
      const { running, waiting } = transport.gate.load;
      return { server, database, running, waiting: waiting + transport.reconnect.waiting };
    },
  });
}
