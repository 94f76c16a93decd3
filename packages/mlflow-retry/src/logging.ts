import { OptionError } from '@outlast/core-retry';
import { invalidOption } from '@outlast/core-retry/connector';
import { type Batch, batches } from './batches.js';
import { keyValues, optionsOf, required, type Values } from './input.js';
import { jsonNumber, metricsOf } from './metrics.js';
import type { CallBounds } from './options.js';
import { everything, pageOf } from './paging.js';
import { Runs } from './runs.js';
import type { Metric } from './types.js';

/** What `logMetric()` may be told beside the value. */
export interface LogMetricOptions extends CallBounds {
  /** Milliseconds since 1970. Default: now. */
  readonly timestamp?: number;
  /** Default 0. */
  readonly step?: number;
}

/** What a caller gives of a metric. */
export interface MetricInput {
  readonly key: string;
  readonly value: number;
  readonly timestamp?: number | undefined;
  readonly step?: number | undefined;
}

/** What one `logBatch()` logs. */
export interface LogBatchOptions extends CallBounds {
  readonly metrics?: readonly MetricInput[];
  readonly params?: Values;
  readonly tags?: Values;
}

/** What a run writes down. */
export abstract class Logging extends Runs {
  /** Writes one point of a metric. Repeated only where the server keeps two of the same as one (SqlStore). */
  async logMetric(
    runId: string,
    key: string,
    value: number,
    options?: LogMetricOptions,
  ): Promise<void> {
    const operation = 'logMetric';
    required(operation, { runId, key });
    const { timestamp, step, ...bounds } = optionsOf(operation, options, 'timestamp', 'step');
    const body = { run_id: runId, ...this.#metric(operation, { key, value, timestamp, step }) };
    const idempotent = await this.metricsOnce(bounds);
    await this.change({ operation, path: 'runs/log-metric', body, bounds, idempotent });
  }

  /** Writes a param, which cannot be changed afterwards. */
  async logParam(
    runId: string,
    key: string,
    value: string | number | boolean,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'logParam';
    required(operation, { runId, key });
    const body = { run_id: runId, ...keyValues(operation, 'param', { [key]: value })[0] };
    const bounds = optionsOf(operation, options);
    await this.change({ operation, path: 'runs/log-parameter', body, bounds });
  }

  /**
   * Writes many at once, in as many requests as the server's limits ask for, one after the other. If one of
   * them fails, those before it are written. Repeated as {@link logMetric}.
   */
  async logBatch(runId: string, options?: LogBatchOptions): Promise<void> {
    const operation = 'logBatch';
    required(operation, { runId });
    const given = optionsOf(operation, options, 'metrics', 'params', 'tags');
    const { metrics = [], params, tags, ...bounds } = given;
    if (!Array.isArray(metrics)) {
      throw invalidOption(`${operation}(metrics)`, metrics, 'an array of { key, value }');
    }
    const all: Batch = {
      metrics: metrics.map((metric) => this.#metric(operation, metric)),
      params: keyValues(operation, 'params', params),
      tags: keyValues(operation, 'tags', tags),
    };
    const once = all.metrics.length === 0 || (await this.metricsOnce(bounds));
    for (const batch of batches(all)) {
      const body = { run_id: runId, ...batch };
      const idempotent = once || batch.metrics.length === 0;
      await this.change({ operation, path: 'runs/log-batch', body, bounds, idempotent });
    }
  }

  /** Every point of a metric. */
  async getMetricHistory(runId: string, key: string, options?: CallBounds): Promise<Metric[]> {
    const operation = 'getMetricHistory';
    required(operation, { runId, key });
    const bounds = optionsOf(operation, options);
    const page = (page_token: string | undefined) =>
      this.read(
        operation,
        'metrics/get-history',
        { run_id: runId, metric_key: key, max_results: HISTORY_PAGE, page_token },
        (answer) => pageOf(metricsOf(answer.metrics), answer.next_page_token),
        bounds,
      );
    const found: Metric[] = [];
    for await (const metric of everything(page)) found.push(metric);
    return found;
  }

  #metric(operation: string, metric: MetricInput): Batch['metrics'][number] {
    const { key, value, timestamp, step } = metric;
    required(operation, { key });
    if (typeof value !== 'number') {
      throw new OptionError(`${operation}(${key})`, `must be a number; got ${typeof value}.`);
    }
    return {
      key,
      value: jsonNumber(value),
      // Made here, so that a repetition is the same point.
      timestamp: timestamp ?? Math.round(this.policy.settings.clock.wallNow()),
      step: step ?? 0,
    };
  }
}

const HISTORY_PAGE = 25_000;
