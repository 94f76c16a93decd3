import type { Category, Classify, Failure, Outcome, Phase } from '@outlast/core-retry';
import { classifyHttp } from '@outlast/http-retry';
import { type Answer, readAnswer } from './answer.js';
import { isMlflowError } from './errors.js';

/** Category, whether the same request may succeed later, and whether it can have taken effect. */
type Row = readonly [category: Category, transient: boolean, outcome: Outcome];

const INVALID: Row = ['invalid', false, 'not-applied'];
const MISSING: Row = ['not-found', false, 'not-applied'];
const TAKEN: Row = ['conflict', false, 'not-applied'];
const FORBIDDEN: Row = ['auth', false, 'not-applied'];
const ILL: Row = ['unavailable', true, 'unknown'];

/**
 * What MLflow's `error_code` means; it beats the status. Sources: `mlflow/exceptions.py` and the comments of
 * `databricks.proto` on which may be repeated ("not always safe to retry non-idempotent", "safely retry").
 */
export const ERROR_CODES: Readonly<Record<string, Row>> = {
  TEMPORARILY_UNAVAILABLE: ILL,
  WORKSPACE_TEMPORARILY_UNAVAILABLE: ILL,
  INTERNAL_ERROR: ILL,
  IO_ERROR: ILL,
  SERVICE_UNDER_MAINTENANCE: ['unavailable', true, 'not-applied'],
  REQUEST_LIMIT_EXCEEDED: ['throttled', true, 'not-applied'],
  RESOURCE_EXHAUSTED: ['resource-exhausted', true, 'not-applied'],
  DEADLINE_EXCEEDED: ['timeout', true, 'unknown'],
  ABORTED: ['contention', true, 'unknown'],
  CANCELLED: ['unavailable', false, 'unknown'],
  RESOURCE_DOES_NOT_EXIST: MISSING,
  NOT_FOUND: MISSING,
  RESOURCE_ALREADY_EXISTS: TAKEN,
  ALREADY_EXISTS: TAKEN,
  RESOURCE_CONFLICT: TAKEN,
  ENDPOINT_NOT_FOUND: INVALID,
  FEATURE_DISABLED: INVALID,
  NOT_IMPLEMENTED: INVALID,
  INVALID_PARAMETER_VALUE: INVALID,
  BAD_REQUEST: INVALID,
  MALFORMED_REQUEST: INVALID,
  // Final, although MLflow says 500 of these two.
  INVALID_STATE: INVALID,
  DATA_LOSS: ['invalid', false, 'unknown'],
  PERMISSION_DENIED: FORBIDDEN,
  UNAUTHENTICATED: FORBIDDEN,
  CUSTOMER_UNAUTHORIZED: FORBIDDEN,
};

/** A text says more than its code or status does. */
interface TextRow {
  readonly text: RegExp;
  /** Only under these codes; undefined is an answer without one. Default: under any. */
  readonly codes?: readonly (string | undefined)[];
  readonly row: Row;
}

/**
 * Texts of mlflow 3.17.2, measured. MLflow maps every error of its database in one place (`store/db/utils.py`):
 * OperationalError to 503, any other of SQLAlchemy to 400 BAD_REQUEST, whatever else to 500.
 */
export const TEXTS: readonly TextRow[] = [
  // An alias that a model does not have: 400, not 404.
  {
    text: /^Registered model alias .* not found/,
    codes: ['INVALID_PARAMETER_VALUE'],
    row: MISSING,
  },
  // Its pool of connections was used up for 30 s: the statement never ran.
  {
    text: /QueuePool limit|sqlalche\.me\/e\/\d+\/3o7r/,
    codes: ['BAD_REQUEST'],
    row: ['unavailable', true, 'not-applied'],
  },
  {
    text: /IntegrityError|UNIQUE constraint/,
    codes: ['BAD_REQUEST'],
    row: ['contention', true, 'not-applied'],
  },
  // SQLite gave up after 20 s of waiting, and rolled back.
  {
    text: /database is locked/,
    codes: ['TEMPORARILY_UNAVAILABLE'],
    row: ['contention', true, 'not-applied'],
  },
  // Permanent, although it is 503.
  {
    text: /disabled due to the mlflow server running|Artifact serving is (?:disabled|not configured)/,
    row: INVALID,
  },
  // Answers of 500 that stay as they are.
  { text: /404 Client Error: Not Found|\[Errno 2\] No such file/, row: MISSING },
  { text: /tracking URI must be a valid http or https URI/, row: INVALID },
  // The server does not know the name by which it was addressed.
  { text: /^Invalid Host header|^Cross-origin request blocked/, codes: [undefined], row: INVALID },
];

/** The values of `error_code` after which a request may be repeated, if its outcome allows it. */
export const RETRYABLE_ERROR_CODES: readonly string[] = Object.freeze(
  Object.entries(ERROR_CODES).flatMap(([code, [, transient]]) => (transient ? [code] : [])),
);

/**
 * What an error of this client, or of an axios that asks MLflow, means: by MLflow's `error_code`, made more
 * precise by its text, then by the status, then by what the network says. Total: any thrown value has an answer.
 */
export const classifyMlflow: Classify = (error: unknown, phase: Phase): Failure => {
  try {
    const answer = answerOf(error);
    if (answer !== undefined) return byAnswer(answer, error, phase);
  } catch {
    // A hostile error: the status and the codes are read with more care below.
  }
  return classifyHttp(error, phase);
};

function byAnswer(answer: Answer, error: unknown, phase: Phase): Failure {
  const { errorCode, reason, status, html } = answer;
  // A login page.
  if (html && status < 300) return { ...failure(['auth', true, 'unknown'], phase), code: 'HTML' };
  const text = TEXTS.find(
    ({ text, codes }) => text.test(reason) && (codes === undefined || codes.includes(errorCode)),
  );
  const row = text?.row ?? (errorCode === undefined ? undefined : own(ERROR_CODES, errorCode));
  const byStatus = classifyHttp({ status, headers: answer.headers }, phase);
  if (row !== undefined) {
    const { retryAfterMs } = byStatus;
    const code = errorCode ?? `${status}`;
    return {
      ...failure(row, phase),
      code,
      ...(row[1] && retryAfterMs !== undefined && { retryAfterMs }),
    };
  }
  // Sent elsewhere, and nobody went: it was not done here.
  if (status >= 300 && status < 400) return { ...failure(INVALID, phase), code: `${status}` };
  // A page that Flask makes of a path it does not know: nothing is gone, there is no such route.
  if (html && (status === 404 || status === 405))
    return { ...failure(INVALID, phase), code: `${status}` };
  if (isMlflowError(error) || status >= 300) return byStatus;
  return classifyHttp(error, phase);
}

/** The answer that an error is about: ours, or of an axios of the caller's own. */
function answerOf(error: unknown): Answer | undefined {
  if (isMlflowError(error)) {
    const { status, errorCode, reason, headers } = error;
    return { status, errorCode, reason, headers, html: error.html };
  }
  const { response } = (error ?? {}) as {
    response?: { status?: unknown; headers?: object; data?: unknown };
  };
  if (typeof response?.status !== 'number' || response.status < 300) return undefined;
  const { data } = response;
  const text = typeof data === 'string' ? data : plain(data) ? JSON.stringify(data) : '';
  return readAnswer(response.status, { ...response.headers }, text);
}

function plain(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  );
}

function own(rows: Readonly<Record<string, Row>>, key: string): Row | undefined {
  return Object.hasOwn(rows, key) ? rows[key] : undefined;
}

function failure([category, transient, outcome]: Row, phase: Phase): Failure {
  const unsent = phase === 'acquire' || phase === 'connect';
  return { category, transient, outcome: unsent ? 'not-applied' : outcome };
}
