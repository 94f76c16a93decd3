import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { MlflowServer } from './mlflow-server.js';

/** What a registered model is made of. */
export interface SeedModel {
  name: string;
  /** By path inside the model; folders are made. */
  files: Record<string, string | Uint8Array>;
  /** Set to this version. */
  aliases?: readonly string[];
  /** Such as `Production`. */
  stage?: string;
}

/** Where it stands now. */
export interface SeededModel {
  readonly name: string;
  readonly version: string;
  readonly runId: string;
  readonly experimentId: string;
  /** `mlflow-artifacts:/…/artifacts/model` */
  readonly source: string;
  /** The folder of the store that holds its files. */
  readonly folder: string;
}

/**
 * Registers a version of a model past every client. The files are put straight into the store, which serves
 * them at once; `store` is whoever keeps them, if that is another server.
 */
export async function seedModel(
  server: MlflowServer,
  model: SeedModel,
  store: MlflowServer = server,
): Promise<SeededModel> {
  const { name, files, aliases = [], stage } = model;
  const post = (path: string, body: object) => server.json(path, { method: 'POST', body });
  const { run } = await post('runs/create', { experiment_id: '0', start_time: Date.now() });
  const { run_id: runId, experiment_id: experimentId, artifact_uri: root } = run.info;
  const source = `${root}/model`;
  const folder = join(store.artifacts, source.replace(/^mlflow-artifacts:\/+/, ''));
  for (const [path, content] of Object.entries(files)) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  const created = await server.ask('registered-models/create', { method: 'POST', body: { name } });
  const answer = await created.text();
  if (!created.ok && !answer.includes('RESOURCE_ALREADY_EXISTS')) throw new Error(answer);
  const { model_version } = await post('model-versions/create', { name, source, run_id: runId });
  const { version } = model_version;
  for (const alias of aliases) await post('registered-models/alias', { name, alias, version });
  if (stage) {
    const transition = { name, version, stage, archive_existing_versions: false };
    await post('model-versions/transition-stage', transition);
  }
  return { name, version, runId, experimentId, source, folder };
}
