import { RetryPolicy, retryInfo } from '@outlast/core-retry';
import { classifyMlflow } from './classify.js';
import { readJson } from './json.js';
import type { Transport } from './transport.js';
import { Trial } from './trial.js';

/** What a health page shows. */
export interface Health {
  readonly ok: boolean;
  /** How long the check took, in milliseconds. */
  readonly ms: number;
  readonly attempts: number;
  /** MlflowError or the error of the network, if it failed. */
  readonly error?: unknown;
  readonly details: {
    /** Whether `/health` answered. */
    readonly server: boolean;
    /** Whether a search in the registry did, which asks the database. */
    readonly database: boolean;
    /** Calls that are under way. */
    readonly running: number;
    /** Calls that wait for their turn, or for the server. */
    readonly waiting: number;
  };
}

const ATTEMPT_TIMEOUT_MS = 5000;

/**
 * Three attempts, 0.5 s to 5 s between them, without patience. Never rejects. `/health` is answered by a server
 * whose database is gone, so that alone proves nothing.
 */
export async function checkHealth(transport: Transport): Promise<Health> {
  const { clock, random } = transport.policy.settings;
  const own = new RetryPolicy({
    maxAttempts: 3,
    baseDelayMs: 500,
    maxDelayMs: 5000,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    operation: 'mlflow.healthCheck',
    // Reading changes nothing.
    idempotent: true,
    classify: classifyMlflow,
    clock,
    random,
  });
  const start = clock.now();
  let attempts = 0;
  let server = false;
  let database = false;
  const details = (): Health['details'] => {
    const { running, waiting } = transport.gate.load;
    return { server, database, running, waiting: waiting + transport.reconnect.waiting };
  };
  try {
    await own.execute(async (attempt) => {
      attempts = attempt.number;
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
    });
    return { ok: true, ms: clock.now() - start, attempts, details: details() };
  } catch (error) {
    attempts = retryInfo(error)?.attempts ?? attempts;
    return { ok: false, ms: clock.now() - start, attempts, error, details: details() };
  }
}
