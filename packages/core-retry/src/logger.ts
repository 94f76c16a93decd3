import type { PolicyEvent } from './events.js';

export interface Logger {
  info(...args: unknown[]): unknown;
  warn(...args: unknown[]): unknown;
  error(...args: unknown[]): unknown;
}

export function logEvents(_logger: Logger): (event: PolicyEvent) => void {
  return () => {};
}
