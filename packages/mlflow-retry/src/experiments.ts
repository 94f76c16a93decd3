import { keyValues, optionsOf, pageSize, required, type Values } from './input.js';
import type { CallBounds } from './options.js';
import { everything, type PagedList, pageOf } from './paging.js';
import { carries, create, operationTag, unlessMissing } from './resolve.js';
import { Tracking } from './tracking.js';
import type { Experiment } from './types.js';

/** Which of those that may have been deleted. */
export type ViewType = 'ACTIVE_ONLY' | 'DELETED_ONLY' | 'ALL';

/** What searches have in common. */
export interface SearchOptions extends CallBounds {
  /** Such as `attributes.status = 'FINISHED' and tags.team = 'vision'`. */
  readonly filter?: string;
  /** Of a page; the server has a limit of its own. */
  readonly maxResults?: number;
  readonly orderBy?: readonly string[];
  /** The `token` of the page before. */
  readonly pageToken?: string;
}

/** What `createExperiment()` may be told. */
export interface CreateExperimentOptions extends CallBounds {
  readonly artifactLocation?: string;
  readonly tags?: Values;
}

/** Which experiments, and in which order. */
export interface SearchExperimentsOptions extends SearchOptions {
  readonly viewType?: ViewType;
}

/** Experiments. */
export abstract class Experiments extends Tracking {
  /**
   * Makes an experiment, once, also if the answer is lost.
   *
   * @returns its id
   * @throws MlflowError with `errorCode` RESOURCE_ALREADY_EXISTS if somebody else has one of that name
   */
  async createExperiment(name: string, options?: CreateExperimentOptions): Promise<string> {
    const operation = 'createExperiment';
    required(operation, { name });
    const { artifactLocation, tags, ...bounds } = optionsOf(
      operation,
      options,
      'artifactLocation',
      'tags',
    );
    const tag = operationTag();
    return create(
      this.transport,
      {
        operation,
        method: 'POST',
        path: 'experiments/create',
        body: {
          name,
          artifact_location: artifactLocation,
          tags: [...keyValues(operation, 'tags', tags), tag],
        },
        pick: (answer) => answer.experiment_id as string,
        bounds,
      },
      async (within) => {
        const found = await this.getExperimentByName(name, within);
        return carries(found?.tags, tag) ? found?.experiment_id : undefined;
      },
    );
  }

  /** An experiment, also one that was deleted. @throws MlflowError with status 404 if there is none */
  async getExperiment(experimentId: string, options?: CallBounds): Promise<Experiment> {
    required('getExperiment', { experimentId });
    const query = { experiment_id: experimentId };
    return this.read('getExperiment', 'experiments/get', query, experimentOf, options);
  }

  /** Undefined if there is none. */
  async getExperimentByName(name: string, options?: CallBounds): Promise<Experiment | undefined> {
    required('getExperimentByName', { name });
    const query = { experiment_name: name };
    const path = 'experiments/get-by-name';
    const found = this.read('getExperimentByName', path, query, experimentOf, options);
    return unlessMissing(this.transport, found);
  }

  /** One page. */
  async searchExperiments(options?: SearchExperimentsOptions): Promise<PagedList<Experiment>> {
    const operation = 'searchExperiments';
    const given = optionsOf(operation, options, ...SEARCH, 'viewType');
    const { filter, maxResults, orderBy, pageToken, viewType, ...bounds } = given;
    return this.transport.json({
      operation,
      method: 'POST',
      path: 'experiments/search',
      idempotent: true,
      body: {
        filter,
        max_results: pageSize(operation, maxResults) ?? DEFAULT_PAGE,
        order_by: orderBy,
        page_token: pageToken,
        view_type: viewType,
      },
      pick: (answer) => pageOf<Experiment>(answer.experiments, answer.next_page_token),
      bounds,
    });
  }

  /** All that a search finds, page by page. */
  eachExperiment(options?: SearchExperimentsOptions): AsyncGenerator<Experiment, void, undefined> {
    const search = (pageToken?: string) =>
      this.searchExperiments({ ...options, ...(pageToken && { pageToken }) });
    return everything(search, options?.pageToken);
  }

  /** Gives an experiment another name. */
  async renameExperiment(
    experimentId: string,
    newName: string,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'renameExperiment';
    required(operation, { experimentId, newName });
    const body = { experiment_id: experimentId, new_name: newName };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'experiments/update', body, bounds });
  }

  /** Marks an experiment as deleted, with its runs; it can be restored. */
  async deleteExperiment(experimentId: string, options?: CallBounds): Promise<void> {
    const operation = 'deleteExperiment';
    required(operation, { experimentId });
    const body = { experiment_id: experimentId };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'experiments/delete', body, bounds, removes: true });
  }

  /** Takes a deletion back. */
  async restoreExperiment(experimentId: string, options?: CallBounds): Promise<void> {
    const operation = 'restoreExperiment';
    required(operation, { experimentId });
    const body = { experiment_id: experimentId };
    const bounds = optionsOf(operation, options);
    // The server says of one that is not deleted that there is none.
    await this.change({ operation, path: 'experiments/restore', body, bounds, removes: true });
  }

  /** Sets a tag of an experiment, whatever it was before. */
  async setExperimentTag(
    experimentId: string,
    key: string,
    value: string | number | boolean,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'setExperimentTag';
    required(operation, { experimentId, key });
    const body = {
      experiment_id: experimentId,
      ...keyValues(operation, 'tag', { [key]: value })[0],
    };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'experiments/set-experiment-tag', body, bounds });
  }

  /** Removes a tag of an experiment. */
  async deleteExperimentTag(
    experimentId: string,
    key: string,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'deleteExperimentTag';
    required(operation, { experimentId, key });
    const body = { experiment_id: experimentId, key };
    const bounds = optionsOf(operation, options);
    const path = 'experiments/delete-experiment-tag';
    await this.change({ operation, path, body, bounds, removes: true });
  }
}

/** The keys of {@link SearchOptions}, without the bounds. */
export const SEARCH = ['filter', 'maxResults', 'orderBy', 'pageToken'] as const;

/** As Python asks for. */
export const DEFAULT_PAGE = 1000;

const experimentOf = (answer: { experiment: Experiment }): Experiment => answer.experiment;
