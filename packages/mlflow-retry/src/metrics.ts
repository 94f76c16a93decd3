import type { Metric } from './types.js';

/** Metrics as the server answers them: JSON has no NaN and no infinities, so that they come as texts. */
export function metricsOf(metrics: readonly Metric[] | undefined): Metric[] {
  return (metrics ?? []).map((metric) => ({
    ...metric,
    value: Number(metric.value),
    step: metric.step ?? 0,
  }));
}

/** A metric's value as it goes into JSON. */
export function jsonNumber(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}
