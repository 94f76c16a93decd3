import { OutlastError } from '@outlast/core-retry';
import type { Answer } from './answer.js';

/** What the server, or something before it, answered instead of what was asked for. */
export class MlflowError extends OutlastError {
  /** HTTP status; 200 for a login page. */
  readonly status: number;
  /** MLflow's own: `RESOURCE_DOES_NOT_EXIST`, `INVALID_PARAMETER_VALUE`, …; undefined if the answer has none. */
  readonly errorCode: string | undefined;
  /** Such as `mlflow.getRun`. */
  readonly operation: string;
  /** What the server says, without secrets and SQL, at most 500 characters. */
  readonly reason: string;
  /** Whether it was a page for people: a login, a proxy's error. */
  readonly html: boolean;
  /** Of the answer; only those that say when to come back, and what the answer is. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(operation: string, answer: Answer) {
    const { status, errorCode, reason, html, headers } = answer;
    const what = [status, errorCode].filter(Boolean).join(' ');
    super('OUTLAST_MLFLOW', `${operation} was answered with ${what}${reason && `: ${reason}`}`);
    this.status = status;
    this.errorCode = errorCode;
    this.operation = operation;
    this.reason = reason;
    this.html = html;
    this.headers = headers;
  }
}

/** True for {@link MlflowError}, also from another copy of the package. */
export function isMlflowError(error: unknown): error is MlflowError {
  return error instanceof Error && (error as { code?: unknown }).code === 'OUTLAST_MLFLOW';
}

/** Nothing came for too long. `code` is `ETIMEDOUT`, as of a socket. */
export class SilenceError extends OutlastError {
  constructor(operation: string, ms: number) {
    super('ETIMEDOUT', `The server has said nothing to ${operation} for ${ms} ms.`);
  }
}

/** An answer of 200 whose text ends too early, or is no JSON. `code` is `ECONNRESET`: the wire was cut. */
export class CutAnswerError extends OutlastError {
  constructor(operation: string) {
    super('ECONNRESET', `The answer to ${operation} ended before it was complete.`);
  }
}
