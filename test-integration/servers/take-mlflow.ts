import { startMlflow } from './mlflow.js';
import type { MlflowServer } from './mlflow-server.js';
import type { MlflowMode } from './mlflow-settings.js';
import { mlflowAt } from './mlflow-url.js';
import { findMlflow } from './mlflow-venv.js';
import { type Skipped, skip } from './skipped.js';

/** Which server is wanted. */
export interface TakeMlflowOptions extends MlflowMode {
  /** Whether it must be one that can be stopped and shows its database, so that MLFLOW_URL is no answer. Default false. */
  own?: boolean;
}

/**
 * An MLflow to test against: the one that MLFLOW_URL names, where any will do → our own, in the Python
 * environment that scripts/bootstrap.js makes. With nothing to be had, the reason is returned; with CI=true
 * it is thrown.
 */
export async function takeMlflow(options: TakeMlflowOptions = {}): Promise<MlflowServer | Skipped> {
  const { own = false, ...mode } = options;
  const any = !own && Object.values(mode).every((value) => value === undefined);
  const given = process.env['MLFLOW_URL'];
  if (given && any) return mlflowAt(given);
  if (findMlflow()) return startMlflow(mode);
  return skip(missingMlflow(any));
}

/** Why there is no MLflow, and what would bring one; `url`: whether MLFLOW_URL would do too. */
export function missingMlflow(url = false): string {
  const install =
    process.platform === 'darwin'
      ? '`brew install python3`'
      : '`apt-get install -y --no-install-recommends python3 python3-venv` as root';
  return `No MLflow is ready on this machine. To have one, run \`node scripts/bootstrap.js mlflow\`; it needs Python 3.10 or newer: ${install}${url ? ', or set MLFLOW_URL for the tests that break nothing' : ''}.`;
}
