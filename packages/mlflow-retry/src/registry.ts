import { SEARCH, type SearchOptions } from './experiments.js';
import { keyValues, optionsOf, pageSize, required, type Values } from './input.js';
import { Logging } from './logging.js';
import type { CallBounds } from './options.js';
import { everything, type PagedList, pageOf } from './paging.js';
import { carries, create, operationTag, unlessMissing } from './resolve.js';
import type { RegisteredModel } from './types.js';

/** What `createRegisteredModel()` may be told. */
export interface CreateRegisteredModelOptions extends CallBounds {
  readonly tags?: Values;
  readonly description?: string;
}

/** Registered models. */
export abstract class Registry extends Logging {
  /**
   * Registers a name, once, also if the answer is lost.
   *
   * @throws MlflowError with `errorCode` RESOURCE_ALREADY_EXISTS if somebody else has it
   */
  async createRegisteredModel(
    name: string,
    options?: CreateRegisteredModelOptions,
  ): Promise<RegisteredModel> {
    const operation = 'createRegisteredModel';
    required(operation, { name });
    const { tags, description, ...bounds } = optionsOf(operation, options, 'tags', 'description');
    const tag = operationTag();
    return create(
      this.transport,
      {
        operation,
        method: 'POST',
        path: 'registered-models/create',
        body: { name, description, tags: [...keyValues(operation, 'tags', tags), tag] },
        pick: modelOf,
        bounds,
      },
      async (within) => {
        const found = this.getRegisteredModel(name, within);
        const model = await unlessMissing(this.transport, found);
        return carries(model?.tags, tag) ? model : undefined;
      },
    );
  }

  /** A model with the newest versions of its stages. @throws MlflowError with status 404 if there is none */
  async getRegisteredModel(name: string, options?: CallBounds): Promise<RegisteredModel> {
    required('getRegisteredModel', { name });
    return this.read('getRegisteredModel', 'registered-models/get', { name }, modelOf, options);
  }

  /** One page. */
  async searchRegisteredModels(options?: SearchOptions): Promise<PagedList<RegisteredModel>> {
    const operation = 'searchRegisteredModels';
    const given = optionsOf(operation, options, ...SEARCH);
    const { filter, maxResults, orderBy, pageToken, ...bounds } = given;
    return this.read(
      operation,
      'registered-models/search',
      {
        filter,
        max_results: pageSize(operation, maxResults) ?? MODELS_PAGE,
        order_by: orderBy,
        page_token: pageToken,
      },
      (answer) => pageOf<RegisteredModel>(answer.registered_models, answer.next_page_token),
      bounds,
    );
  }

  /** All that a search finds, page by page. */
  eachRegisteredModel(options?: SearchOptions): AsyncGenerator<RegisteredModel, void, undefined> {
    const search = (pageToken?: string) =>
      this.searchRegisteredModels({ ...options, ...(pageToken && { pageToken }) });
    return everything(search, options?.pageToken);
  }

  /** Gives a model another name. If the answer is lost, whoever has the new name tells. */
  async renameRegisteredModel(
    name: string,
    newName: string,
    options?: CallBounds,
  ): Promise<RegisteredModel> {
    const operation = 'renameRegisteredModel';
    required(operation, { name, newName });
    const bounds = optionsOf(operation, options);
    return this.transport.json({
      operation,
      method: 'POST',
      path: 'registered-models/rename',
      body: { name, new_name: newName },
      idempotent: true,
      pick: modelOf,
      bounds,
      settled: async ({ category }) =>
        category === 'not-found'
          ? unlessMissing(this.transport, this.getRegisteredModel(newName, bounds))
          : undefined,
    });
  }

  /** Gives a model another description. */
  async updateRegisteredModel(
    name: string,
    options?: CallBounds & { readonly description?: string },
  ): Promise<RegisteredModel> {
    const operation = 'updateRegisteredModel';
    required(operation, { name });
    const { description, ...bounds } = optionsOf(operation, options, 'description');
    return this.transport.json({
      operation,
      method: 'PATCH',
      path: 'registered-models/update',
      body: { name, description },
      idempotent: true,
      pick: modelOf,
      bounds,
    });
  }

  /** Removes a model with all its versions. */
  async deleteRegisteredModel(name: string, options?: CallBounds): Promise<void> {
    const operation = 'deleteRegisteredModel';
    required(operation, { name });
    const bounds = optionsOf(operation, options);
    const path = 'registered-models/delete';
    await this.change({ operation, method: 'DELETE', path, body: { name }, bounds, removes: true });
  }

  /** Sets a tag of a model, whatever it was before. */
  async setRegisteredModelTag(
    name: string,
    key: string,
    value: string | number | boolean,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'setRegisteredModelTag';
    required(operation, { name, key });
    const body = { name, ...keyValues(operation, 'tag', { [key]: value })[0] };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'registered-models/set-tag', body, bounds });
  }

  /** Removes a tag of a model. */
  async deleteRegisteredModelTag(name: string, key: string, options?: CallBounds): Promise<void> {
    const operation = 'deleteRegisteredModelTag';
    required(operation, { name, key });
    const bounds = optionsOf(operation, options);
    const path = 'registered-models/delete-tag';
    const body = { name, key };
    await this.change({ operation, method: 'DELETE', path, body, bounds, removes: true });
  }
}

/** As Python asks for; the server allows 1000. */
const MODELS_PAGE = 100;

const modelOf = (answer: { registered_model: RegisteredModel }): RegisteredModel =>
  answer.registered_model;
