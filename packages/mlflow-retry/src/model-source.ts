import {
  MalformedAnswerError,
  ModelNotReadyError,
  NoSuchVersionError,
} from './fetch-model-errors.js';
import type { ModelReference } from './model-uri.js';

/** What a fetch asks the server: the answer's JSON object. */
export type Ask = (
  path: string,
  query: Readonly<Record<string, string | readonly string[] | undefined>>,
) => Promise<Readonly<Record<string, unknown>>>;

/** What a URI stands for now, pinned. */
export interface ModelSource {
  readonly kind: 'version' | 'logged-model' | 'run' | 'artifacts';
  readonly name: string;
  readonly version: string;
  /** As the server shows it. */
  readonly source: string;
  /** What can stand for no other bytes; undefined where artifacts may be written again. */
  readonly identity: readonly (string | number)[] | undefined;
  /** The part that is asked for. */
  readonly subPath: string;
  /** The run that its artifacts belong to, if there is one. */
  readonly runId?: string;
  readonly modelId?: string;
  readonly host?: string;
}

/**
 * Asks the server, once, what a URI stands for.
 *
 * @throws what the server answered; NoSuchVersionError; ModelNotReadyError;
 *   MalformedAnswerError
 */
export async function resolveModel(
  uri: string,
  reference: ModelReference,
  ask: Ask,
): Promise<ModelSource> {
  const { kind, subPath } = reference;
  switch (kind) {
    case 'artifacts': {
      const host = reference.host === undefined ? '' : `//${reference.host}`;
      return {
        kind,
        name: '',
        version: '',
        source: `mlflow-artifacts:${host}/${subPath}`,
        identity: undefined,
        subPath,
        ...(reference.host !== undefined && { host: reference.host }),
      };
    }
    case 'run': {
      const { runId } = reference;
      const { run } = await ask('/mlflow/runs/get', { run_id: runId });
      const info = record(record(run)['info']);
      return {
        kind,
        name: runId,
        version: '',
        source: needed(uri, info, 'artifact_uri'),
        identity: undefined,
        subPath,
        runId,
      };
    }
    case 'logged-model': {
      const { modelId } = reference;
      const answer = await ask(`/mlflow/logged-models/${encodeURIComponent(modelId)}`, {});
      const info = record(record(answer['model'])['info']);
      const source = needed(uri, info, 'artifact_uri');
      ready(uri, info['status'], 'LOGGED_MODEL_READY');
      return {
        kind,
        name: text(info['name']),
        version: modelId,
        source,
        identity: [modelId, needed(uri, info, 'creation_timestamp_ms'), source],
        subPath,
        modelId,
      };
    }
    default:
      return fromVersion(uri, await versionOf(uri, reference, ask), subPath);
  }
}

async function versionOf(
  uri: string,
  reference: Extract<ModelReference, { name: string }>,
  ask: Ask,
): Promise<Readonly<Record<string, unknown>>> {
  const { name } = reference;
  switch (reference.kind) {
    case 'version': {
      const { version } = reference;
      const answer = await ask('/mlflow/model-versions/get', { name, version });
      return record(answer['model_version']);
    }
    case 'alias': {
      const { alias } = reference;
      const answer = await ask('/mlflow/registered-models/alias', { name, alias });
      return record(answer['model_version']);
    }
    default: {
      // Without stages the server gives one version for each stage that has one.
      const stages = reference.kind === 'stage' ? [reference.stage] : undefined;
      const answer = await ask('/mlflow/registered-models/get-latest-versions', { name, stages });
      const versions = Array.isArray(answer['model_versions']) ? answer['model_versions'] : [];
      const newest = versions
        .map(record)
        .sort((a, b) => Number(b['version']) - Number(a['version']))[0];
      if (newest === undefined) throw new NoSuchVersionError(uri);
      return newest;
    }
  }
}

function fromVersion(
  uri: string,
  version: Readonly<Record<string, unknown>>,
  subPath: string,
): ModelSource {
  const name = needed(uri, version, 'name');
  const number = needed(uri, version, 'version');
  const source = needed(uri, version, 'source');
  ready(uri, version['status'], 'READY');
  const runId = text(version['run_id']);
  const modelId = text(version['model_id']) || (/^models:\/(m-[^/]+)$/.exec(source)?.[1] ?? '');
  return {
    kind: 'version',
    name,
    version: number,
    source,
    // A number is given again after the registered model was deleted; its creation time is not.
    identity: [name, number, needed(uri, version, 'creation_timestamp'), source],
    subPath,
    ...(runId !== '' && { runId }),
    ...(modelId !== '' && { modelId }),
  };
}

function ready(uri: string, status: unknown, wanted: string): void {
  if (status === undefined || status === wanted) return;
  throw new ModelNotReadyError(uri, text(status));
}

/** A field without which two models could be taken for one. */
function needed(uri: string, of: Readonly<Record<string, unknown>>, field: string): string {
  const value = text(of[field]);
  if (value === '') throw new MalformedAnswerError(uri, field);
  return value;
}

/** int64 may come as a number or a text. */
function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? `${value}` : '';
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
