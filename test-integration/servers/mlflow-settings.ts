import { join } from 'node:path';
import type { MlflowAdmin } from './mlflow-server.js';

/** How a server is to be run. */
export interface MlflowMode {
  /** A path before everything, such as `/mlf`. Default none. */
  prefix?: string;
  /** Whether it asks for name and password (basic-auth). Default false. */
  auth?: boolean;
  /** Run by gunicorn, which answers downloads otherwise than uvicorn: closes after each, other ETags. Default false. */
  gunicorn?: boolean;
  /** Where artifacts go: another server's `artifactsUrl`, which takes the path of S3 and its like. Default: a folder. */
  artifactsAt?: string;
  /** Whether it keeps runs and models in files, which 3.x allows only to those who ask for it. Default: in SQLite. */
  fileStore?: boolean;
  /** Whether it serves artifacts at all (`--no-serve-artifacts`). Default true. */
  serveArtifacts?: boolean;
}

/** Whoever may do everything on a server that asks. */
export const ADMIN: MlflowAdmin = { username: 'admin', password: 'admin-password-1234' };

/**
 * What `mlflow server` would tell its workers. The names are MLflow's own affair, and hold for the version that
 * scripts/mlflow.js installs; started this way a server is one process and ready in half the time.
 *
 * @see mlflow/server/__init__.py, `_run_server`
 */
export function environment(folder: string, mode: MlflowMode): Record<string, string> {
  const { serveArtifacts = true, fileStore = false } = mode;
  return {
    _MLFLOW_SERVER_FILE_STORE: fileStore
      ? `file://${runsFolder(folder)}`
      : `sqlite:///${join(folder, 'mlflow.db')}`,
    ...(fileStore && { MLFLOW_ALLOW_FILE_STORE: 'true' }),
    _MLFLOW_SERVER_ARTIFACT_ROOT: serveArtifacts ? 'mlflow-artifacts:/' : join(folder, 'artifacts'),
    ...(serveArtifacts && {
      _MLFLOW_SERVER_SERVE_ARTIFACTS: 'true',
      _MLFLOW_SERVER_ARTIFACT_DESTINATION: mode.artifactsAt ?? join(folder, 'artifacts'),
    }),
    _MLFLOW_SGI_NAME: mode.gunicorn ? 'gunicorn' : 'uvicorn',
    // Ten processes and 1.2 GB less.
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false',
    MLFLOW_DISABLE_TELEMETRY: 'true',
    ...(mode.prefix && { _MLFLOW_STATIC_PREFIX: mode.prefix }),
    ...(mode.auth && {
      MLFLOW_AUTH_ADMIN_PASSWORD: ADMIN.password,
      MLFLOW_FLASK_SERVER_SECRET_KEY: 'of this test',
      MLFLOW_AUTH_CONFIG_PATH: join(folder, 'auth.ini'),
    }),
  };
}

/** Where a server with files keeps its runs: `<experiment>/<run>/metrics/<key>` and so on. */
export function runsFolder(folder: string): string {
  return join(folder, 'mlruns');
}

/** Without the cache each request costs half a second of hashing. */
export function authConfig(folder: string): string {
  return `[mlflow]
default_permission = READ
database_uri = sqlite:///${join(folder, 'auth.db')}
admin_username = ${ADMIN.username}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 600
`;
}

/** Arguments of `python`. */
export function commandLine(port: number, mode: MlflowMode): string[] {
  const { auth = false, gunicorn = false } = mode;
  if (gunicorn) {
    const app = auth ? 'mlflow.server.auth:create_app()' : 'mlflow.server:app';
    const bind = ['-b', `127.0.0.1:${port}`, '-w', '1', '--log-level', 'warning'];
    return ['-m', 'gunicorn', ...bind, app];
  }
  const app = auth
    ? ['--factory', 'mlflow.server.auth:create_app']
    : ['mlflow.server.fastapi_app:app'];
  const listen = ['--host', '127.0.0.1', '--port', String(port), '--workers', '1'];
  return ['-m', 'uvicorn', ...listen, '--log-level', 'warning', ...app];
}
