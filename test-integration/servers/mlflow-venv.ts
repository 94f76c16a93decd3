import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** MLflow in a Python environment of its own, in the cache folder. */
export interface MlflowInstallation {
  /** Such as `3.17.2`. */
  version: string;
  /** Absolute path of the environment's `python`. */
  python: string;
  /** A database with all tables and nothing in them; to be copied. */
  emptyDatabase: string;
}

/** The one that the tests run on; scripts/mlflow.js makes it ready. */
const VERSION = '3.17.2';

/** The one that is ready in `OUTLAST_CACHE`, by default `~/.cache/outlast`. */
export function findMlflow(): MlflowInstallation | undefined {
  const cache = process.env['OUTLAST_CACHE'] || join(homedir(), '.cache', 'outlast');
  const folder = join(cache, `mlflow-${VERSION}`);
  const file = join(folder, 'ready.json');
  const python = join(folder, 'venv/bin/python');
  if (!existsSync(file) || !existsSync(python)) return undefined;
  const { version } = JSON.parse(readFileSync(file, 'utf8'));
  return { version, python, emptyDatabase: join(folder, 'empty.db') };
}
