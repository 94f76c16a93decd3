import { SEARCH, type SearchOptions } from './experiments.js';
import { keyValues, optionsOf, pageSize, required, type Values, versionText } from './input.js';
import type { CallBounds } from './options.js';
import { everything, type PagedList, pageOf } from './paging.js';
import { Registry } from './registry.js';
import { create, operationTag, withTag } from './resolve.js';
import type { ModelVersion } from './types.js';

/** `'12'`, or 12. */
export type Version = string | number;

/** What `createModelVersion()` may be told. */
export interface CreateModelVersionOptions extends CallBounds {
  /** Needed for a source of `mlflow-artifacts:`; known from a source of `runs:/…`. */
  readonly runId?: string;
  readonly tags?: Values;
  readonly runLink?: string;
  readonly description?: string;
  /** The logged model that it is made of. */
  readonly modelId?: string;
}

/** What a transition to another stage may be told. */
export interface TransitionOptions extends CallBounds {
  /** Whether the versions that stand there now become `Archived`. Default false. */
  readonly archiveExistingVersions?: boolean;
}

/** Versions of registered models. */
export abstract class Versions extends Registry {
  /**
   * Makes a version of a model, once, also if the answer is lost.
   *
   * @param source where its files are; `runs:/<id>/path` is looked up
   */
  async createModelVersion(
    name: string,
    source: string,
    options?: CreateModelVersionOptions,
  ): Promise<ModelVersion> {
    const operation = 'createModelVersion';
    required(operation, { name, source });
    const keys = ['runId', 'tags', 'runLink', 'description', 'modelId'] as const;
    const given = optionsOf(operation, options, ...keys);
    const { runId, tags, runLink, description, modelId, ...bounds } = given;
    const tag = operationTag();
    const place = await this.#placeOf(source, bounds);
    return create(
      this.transport,
      {
        operation,
        method: 'POST',
        path: 'model-versions/create',
        body: {
          name,
          source: place.source,
          run_id: runId ?? place.runId,
          run_link: runLink,
          description,
          model_id: modelId,
          tags: [...keyValues(operation, 'tags', tags), tag],
        },
        pick: versionOf,
        bounds,
      },
      async (within) => {
        const found = await this.searchModelVersions({ filter: withTag(tag), ...within });
        return found.find((version) => version.name === name);
      },
    );
  }

  /** One version. @throws MlflowError with status 404 if there is none */
  async getModelVersion(
    name: string,
    version: Version,
    options?: CallBounds,
  ): Promise<ModelVersion> {
    const operation = 'getModelVersion';
    required(operation, { name });
    const query = { name, version: versionText(operation, version) };
    return this.read(operation, 'model-versions/get', query, versionOf, options);
  }

  /** Which version an alias points to now. @throws MlflowError with status 400 for an alias that there is not */
  async getModelVersionByAlias(
    name: string,
    alias: string,
    options?: CallBounds,
  ): Promise<ModelVersion> {
    const operation = 'getModelVersionByAlias';
    required(operation, { name, alias });
    const path = 'registered-models/alias';
    return this.read(operation, path, { name, alias }, versionOf, options);
  }

  /** The newest version of each stage, or of some; of a stage that has none there is none. */
  async getLatestVersions(
    name: string,
    options?: CallBounds & { readonly stages?: readonly string[] },
  ): Promise<ModelVersion[]> {
    const operation = 'getLatestVersions';
    required(operation, { name });
    const { stages, ...bounds } = optionsOf(operation, options, 'stages');
    const path = 'registered-models/get-latest-versions';
    const pick = (answer: { model_versions?: ModelVersion[] }) => answer.model_versions ?? [];
    return this.read(operation, path, { name, stages }, pick, bounds);
  }

  /** Where the files of a version are; not always what its `source` says. */
  async getModelVersionDownloadUri(
    name: string,
    version: Version,
    options?: CallBounds,
  ): Promise<string> {
    const operation = 'getModelVersionDownloadUri';
    required(operation, { name });
    const query = { name, version: versionText(operation, version) };
    const path = 'model-versions/get-download-uri';
    const pick = (answer: { artifact_uri: string }) => answer.artifact_uri;
    return this.read(operation, path, query, pick, options);
  }

  /** One page. */
  async searchModelVersions(options?: SearchOptions): Promise<PagedList<ModelVersion>> {
    const operation = 'searchModelVersions';
    const given = optionsOf(operation, options, ...SEARCH);
    const { filter, maxResults, orderBy, pageToken, ...bounds } = given;
    return this.read(
      operation,
      'model-versions/search',
      {
        filter,
        max_results: pageSize(operation, maxResults) ?? VERSIONS_PAGE,
        order_by: orderBy,
        page_token: pageToken,
      },
      (answer) => pageOf<ModelVersion>(answer.model_versions, answer.next_page_token),
      bounds,
    );
  }

  /** All that a search finds, page by page. */
  eachModelVersion(options?: SearchOptions): AsyncGenerator<ModelVersion, void, undefined> {
    const search = (pageToken?: string) =>
      this.searchModelVersions({ ...options, ...(pageToken && { pageToken }) });
    return everything(search, options?.pageToken);
  }

  /** Gives a version another description. */
  async updateModelVersion(
    name: string,
    version: Version,
    options?: CallBounds & { readonly description?: string },
  ): Promise<ModelVersion> {
    const operation = 'updateModelVersion';
    required(operation, { name });
    const { description, ...bounds } = optionsOf(operation, options, 'description');
    return this.transport.json({
      operation,
      method: 'PATCH',
      path: 'model-versions/update',
      body: { name, version: versionText(operation, version), description },
      idempotent: true,
      pick: versionOf,
      bounds,
    });
  }

  /** Puts a version into a stage: None, Staging, Production or Archived. */
  async transitionModelVersionStage(
    name: string,
    version: Version,
    stage: string,
    options?: TransitionOptions,
  ): Promise<ModelVersion> {
    const operation = 'transitionModelVersionStage';
    required(operation, { name, stage });
    const given = optionsOf(operation, options, 'archiveExistingVersions');
    const { archiveExistingVersions = false, ...bounds } = given;
    return this.transport.json({
      operation,
      method: 'POST',
      path: 'model-versions/transition-stage',
      body: {
        name,
        version: versionText(operation, version),
        stage,
        archive_existing_versions: archiveExistingVersions,
      },
      idempotent: true,
      pick: versionOf,
      bounds,
    });
  }

  /** Removes a version. Its number is not given again while the model lives. */
  async deleteModelVersion(name: string, version: Version, options?: CallBounds): Promise<void> {
    const operation = 'deleteModelVersion';
    required(operation, { name });
    const body = { name, version: versionText(operation, version) };
    const bounds = optionsOf(operation, options);
    const path = 'model-versions/delete';
    await this.change({ operation, method: 'DELETE', path, body, bounds, removes: true });
  }

  /** Sets a tag of a version, whatever it was before. */
  async setModelVersionTag(
    name: string,
    version: Version,
    key: string,
    value: string | number | boolean,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'setModelVersionTag';
    required(operation, { name, key });
    const tag = keyValues(operation, 'tag', { [key]: value })[0];
    const body = { name, version: versionText(operation, version), ...tag };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'model-versions/set-tag', body, bounds });
  }

  /** Removes a tag of a version. */
  async deleteModelVersionTag(
    name: string,
    version: Version,
    key: string,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'deleteModelVersionTag';
    required(operation, { name, key });
    const body = { name, version: versionText(operation, version), key };
    const bounds = optionsOf(operation, options);
    const path = 'model-versions/delete-tag';
    await this.change({ operation, method: 'DELETE', path, body, bounds, removes: true });
  }

  /** Points an alias to a version, wherever it pointed before. */
  async setRegisteredModelAlias(
    name: string,
    alias: string,
    version: Version,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'setRegisteredModelAlias';
    required(operation, { name, alias });
    const body = { name, alias, version: versionText(operation, version) };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'registered-models/alias', body, bounds });
  }

  /** Removes an alias; one that is not there is no error. */
  async deleteRegisteredModelAlias(
    name: string,
    alias: string,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'deleteRegisteredModelAlias';
    required(operation, { name, alias });
    const body = { name, alias };
    const bounds = optionsOf(operation, options);
    const path = 'registered-models/alias';
    await this.change({ operation, method: 'DELETE', path, body, bounds, removes: true });
  }

  /** The server itself does not look up `runs:/…`; Python's client does. */
  async #placeOf(
    source: string,
    bounds: CallBounds,
  ): Promise<{ readonly source: string; readonly runId?: string }> {
    const parts = /^runs:\/+([^/]+)(\/.*)?$/.exec(source);
    if (parts === null) return { source };
    const { info } = await this.getRun(parts[1] as string, bounds);
    return { source: `${info.artifact_uri}${parts[2] ?? ''}`, runId: info.run_id };
  }
}

/** As Python asks for. */
const VERSIONS_PAGE = 10_000;

const versionOf = (answer: { model_version: ModelVersion }): ModelVersion => answer.model_version;
