import {
  DEFAULT_PAGE,
  Experiments,
  SEARCH,
  type SearchOptions,
  type ViewType,
} from './experiments.js';
import { idList, keyValues, optionsOf, pageSize, required, type Values } from './input.js';
import { metricsOf } from './metrics.js';
import type { CallBounds } from './options.js';
import { everything, type PagedList, pageOf } from './paging.js';
import { create, operationTag, withTag } from './resolve.js';
import type { Run, RunInfo, RunStatus } from './types.js';

/** What `createRun()` may be told. */
export interface CreateRunOptions extends CallBounds {
  /** Milliseconds since 1970. Default: now. */
  readonly startTime?: number;
  readonly tags?: Values;
  readonly runName?: string;
}

/** What `updateRun()` changes. */
export interface UpdateRunOptions extends CallBounds {
  readonly status?: RunStatus;
  readonly name?: string;
}

/** How a run ended. */
export interface SetTerminatedOptions extends CallBounds {
  /** Default FINISHED. */
  readonly status?: RunStatus;
  /** Milliseconds since 1970. Default: now. */
  readonly endTime?: number;
}

/** Which runs, and in which order. */
export interface SearchRunsOptions extends SearchOptions {
  readonly runViewType?: ViewType;
}

/** Runs. */
export abstract class Runs extends Experiments {
  /** Makes a run, once, also if the answer is lost. */
  async createRun(experimentId: string, options?: CreateRunOptions): Promise<Run> {
    const operation = 'createRun';
    required(operation, { experimentId });
    const given = optionsOf(operation, options, 'startTime', 'tags', 'runName');
    const { startTime, tags, runName, ...bounds } = given;
    const tag = operationTag();
    return create(
      this.transport,
      {
        operation,
        method: 'POST',
        path: 'runs/create',
        body: {
          experiment_id: experimentId,
          start_time: startTime ?? this.policy.settings.clock.wallNow(),
          run_name: runName,
          tags: [...keyValues(operation, 'tags', tags), tag],
        },
        pick: runOf,
        bounds,
      },
      async (within) => {
        const search = { filter: withTag(tag), maxResults: 1, ...within };
        return (await this.searchRuns([experimentId], search))[0];
      },
    );
  }

  /** A run with its data, also one that was deleted: `info.lifecycle_stage` tells. */
  async getRun(runId: string, options?: CallBounds): Promise<Run> {
    required('getRun', { runId });
    return this.read('getRun', 'runs/get', { run_id: runId }, runOf, options);
  }

  /** One page of the runs of some experiments. */
  async searchRuns(
    experimentIds: readonly string[],
    options?: SearchRunsOptions,
  ): Promise<PagedList<Run>> {
    const operation = 'searchRuns';
    const given = optionsOf(operation, options, ...SEARCH, 'runViewType');
    const { filter, maxResults, orderBy, pageToken, runViewType, ...bounds } = given;
    return this.transport.json({
      operation,
      method: 'POST',
      path: 'runs/search',
      idempotent: true,
      body: {
        experiment_ids: idList(operation, experimentIds),
        filter,
        max_results: pageSize(operation, maxResults) ?? DEFAULT_PAGE,
        order_by: orderBy,
        page_token: pageToken,
        run_view_type: runViewType,
      },
      pick: (answer) => {
        const page = pageOf<Run>(answer.runs, answer.next_page_token);
        page.forEach((run, at) => {
          page[at] = readable(run);
        });
        return page;
      },
      bounds,
    });
  }

  /** All that a search finds, page by page. */
  eachRun(
    experimentIds: readonly string[],
    options?: SearchRunsOptions,
  ): AsyncGenerator<Run, void, undefined> {
    const search = (pageToken?: string) =>
      this.searchRuns(experimentIds, { ...options, ...(pageToken && { pageToken }) });
    return everything(search, options?.pageToken);
  }

  /** Gives a run another status or name. */
  async updateRun(runId: string, options?: UpdateRunOptions): Promise<RunInfo> {
    const given = optionsOf('updateRun', options, 'status', 'name');
    const { status, name, ...bounds } = given;
    return this.#update('updateRun', runId, { status, run_name: name }, bounds);
  }

  /** Ends a run. */
  async setTerminated(runId: string, options?: SetTerminatedOptions): Promise<RunInfo> {
    const given = optionsOf('setTerminated', options, 'status', 'endTime');
    const { status = 'FINISHED', endTime, ...bounds } = given;
    const end_time = endTime ?? this.policy.settings.clock.wallNow();
    return this.#update('setTerminated', runId, { status, end_time }, bounds);
  }

  /** Marks a run as deleted; it can be restored. */
  async deleteRun(runId: string, options?: CallBounds): Promise<void> {
    const operation = 'deleteRun';
    required(operation, { runId });
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'runs/delete', body: { run_id: runId }, bounds });
  }

  /** Takes a deletion back. */
  async restoreRun(runId: string, options?: CallBounds): Promise<void> {
    const operation = 'restoreRun';
    required(operation, { runId });
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'runs/restore', body: { run_id: runId }, bounds });
  }

  /** Sets a tag of a run, whatever it was before. */
  async setTag(
    runId: string,
    key: string,
    value: string | number | boolean,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'setTag';
    required(operation, { runId, key });
    const body = { run_id: runId, ...keyValues(operation, 'tag', { [key]: value })[0] };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'runs/set-tag', body, bounds });
  }

  /** Removes a tag of a run. @throws MlflowError with status 404 if it has none of that name */
  async deleteTag(runId: string, key: string, options?: CallBounds): Promise<void> {
    const operation = 'deleteTag';
    required(operation, { runId, key });
    const body = { run_id: runId, key };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'runs/delete-tag', body, bounds, removes: true });
  }

  #update(operation: string, runId: string, changes: object, bounds: CallBounds): Promise<RunInfo> {
    required(operation, { runId });
    return this.transport.json({
      operation,
      method: 'POST',
      path: 'runs/update',
      body: { run_id: runId, ...changes },
      idempotent: true,
      pick: (answer) => answer.run_info as RunInfo,
      bounds,
    });
  }
}

const runOf = (answer: { run: Run }): Run => readable(answer.run);

function readable(run: Run): Run {
  const { metrics } = run.data;
  return metrics === undefined
    ? run
    : { ...run, data: { ...run.data, metrics: metricsOf(metrics) } };
}
