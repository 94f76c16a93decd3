import { encodePath } from './address.js';
import { Artifacts } from './artifacts.js';
import { SEARCH, type SearchOptions } from './experiments.js';
import { idList, keyValues, optionsOf, pageSize, required, type Values } from './input.js';
import type { CallBounds } from './options.js';
import { everything, type PagedList, pageOf } from './paging.js';
import { create, operationTag, withTag } from './resolve.js';
import type { LoggedModel, LoggedModelStatus } from './types.js';

/** What `createLoggedModel()` may be told. */
export interface CreateLoggedModelOptions extends CallBounds {
  /** Default: one that the server makes up. */
  readonly name?: string;
  readonly sourceRunId?: string;
  readonly tags?: Values;
  readonly params?: Values;
  readonly modelType?: string;
}

/** Which logged models, and in which order. */
export interface SearchLoggedModelsOptions extends Omit<SearchOptions, 'orderBy'> {
  readonly orderBy?: readonly { readonly field_name: string; readonly ascending?: boolean }[];
}

/** Models as MLflow 3 logs them, with an id of their own. */
export abstract class LoggedModels extends Artifacts {
  /** Makes a logged model, once, also if the answer is lost. */
  async createLoggedModel(
    experimentId: string,
    options?: CreateLoggedModelOptions,
  ): Promise<LoggedModel> {
    const operation = 'createLoggedModel';
    required(operation, { experimentId });
    const keys = ['name', 'sourceRunId', 'tags', 'params', 'modelType'] as const;
    const given = optionsOf(operation, options, ...keys);
    const { name, sourceRunId, tags, params, modelType, ...bounds } = given;
    const tag = operationTag();
    return create(
      this.transport,
      {
        operation,
        method: 'POST',
        path: 'logged-models',
        body: {
          experiment_id: experimentId,
          name,
          source_run_id: sourceRunId,
          model_type: modelType,
          params: keyValues(operation, 'params', params),
          tags: [...keyValues(operation, 'tags', tags), tag],
        },
        pick: modelOf,
        bounds,
      },
      async (within) => {
        const search = { filter: withTag(tag), ...within };
        return (await this.searchLoggedModels([experimentId], search))[0];
      },
    );
  }

  /** A logged model. @throws MlflowError with status 404 if there is none */
  async getLoggedModel(modelId: string, options?: CallBounds): Promise<LoggedModel> {
    required('getLoggedModel', { modelId });
    return this.read('getLoggedModel', pathOf(modelId), {}, modelOf, options);
  }

  /** Says that its files are there, or that they will not come. */
  async finalizeLoggedModel(
    modelId: string,
    status: LoggedModelStatus,
    options?: CallBounds,
  ): Promise<LoggedModel> {
    const operation = 'finalizeLoggedModel';
    required(operation, { modelId, status });
    return this.transport.json({
      operation,
      method: 'PATCH',
      path: pathOf(modelId),
      body: { model_id: modelId, status },
      idempotent: true,
      pick: modelOf,
      bounds: optionsOf(operation, options),
    });
  }

  /** Removes a logged model. */
  async deleteLoggedModel(modelId: string, options?: CallBounds): Promise<void> {
    const operation = 'deleteLoggedModel';
    required(operation, { modelId });
    const bounds = optionsOf(operation, options);
    const path = pathOf(modelId);
    await this.change({ operation, method: 'DELETE', path, bounds, removes: true });
  }

  /** Sets tags of a logged model, whatever they were before. */
  async setLoggedModelTags(modelId: string, tags: Values, options?: CallBounds): Promise<void> {
    const operation = 'setLoggedModelTags';
    required(operation, { modelId });
    const body = { model_id: modelId, tags: keyValues(operation, 'tags', tags) };
    const bounds = optionsOf(operation, options);
    const path = `${pathOf(modelId)}/tags`;
    await this.change({ operation, method: 'PATCH', path, body, bounds });
  }

  /** Removes a tag of a logged model. */
  async deleteLoggedModelTag(modelId: string, key: string, options?: CallBounds): Promise<void> {
    const operation = 'deleteLoggedModelTag';
    required(operation, { modelId, key });
    const bounds = optionsOf(operation, options);
    const path = `${pathOf(modelId)}/tags/${encodePath(key)}`;
    await this.change({ operation, method: 'DELETE', path, bounds, removes: true });
  }

  /** Writes params of a logged model, which cannot be changed afterwards. */
  async logModelParams(modelId: string, params: Values, options?: CallBounds): Promise<void> {
    const operation = 'logModelParams';
    required(operation, { modelId });
    const body = { model_id: modelId, params: keyValues(operation, 'params', params) };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: `${pathOf(modelId)}/params`, body, bounds });
  }

  /** One page of the logged models of some experiments. In a filter, names of tags stand in backquotes. */
  async searchLoggedModels(
    experimentIds: readonly string[],
    options?: SearchLoggedModelsOptions,
  ): Promise<PagedList<LoggedModel>> {
    const operation = 'searchLoggedModels';
    const given = optionsOf(operation, options, ...SEARCH);
    const { filter, maxResults, orderBy, pageToken, ...bounds } = given;
    return this.transport.json({
      operation,
      method: 'POST',
      path: 'logged-models/search',
      idempotent: true,
      body: {
        experiment_ids: idList(operation, experimentIds),
        filter,
        max_results: pageSize(operation, maxResults) ?? MODELS_PAGE,
        order_by: orderBy,
        page_token: pageToken,
      },
      pick: (answer) => pageOf<LoggedModel>(answer.models, answer.next_page_token),
      bounds,
    });
  }

  /** All that a search finds, page by page. */
  eachLoggedModel(
    experimentIds: readonly string[],
    options?: SearchLoggedModelsOptions,
  ): AsyncGenerator<LoggedModel, void, undefined> {
    const search = (pageToken?: string) =>
      this.searchLoggedModels(experimentIds, { ...options, ...(pageToken && { pageToken }) });
    return everything(search, options?.pageToken);
  }
}

/** The server allows no more. */
const MODELS_PAGE = 50;

const pathOf = (modelId: string): string => `logged-models/${encodePath(modelId)}`;

const modelOf = (answer: { model: LoggedModel }): LoggedModel => answer.model;
