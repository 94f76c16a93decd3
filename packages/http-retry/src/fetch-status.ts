import { OutlastError } from '@outlast/core-retry';

/** The shape of an answer of `fetch`. */
interface Answer {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body?: { cancel(): Promise<void> } | null;
}

/** An answer of `fetch` that is none of the 2xx. */
export class HttpStatusError extends OutlastError {
  readonly status: number;
  /** Its body was not read; do so before you throw it away. */
  declare readonly response: Answer;

  constructor(response: Answer) {
    super('OUTLAST_HTTP_STATUS', `The server answered with status ${response.status}.`);
    this.status = response.status;
    // Not enumerable: an answer prints its URL, which may hold a token.
    Object.defineProperty(this, 'response', { value: response, enumerable: false });
  }
}

/**
 * `fetch` rejects for a broken wire, and resolves for a 503. This makes an error of what is none of the
 * 2xx, so that {@link httpRetry} sees it.
 *
 * @throws HttpStatusError
 */
export function throwForStatus<T extends Answer>(response: T): T {
  if (!response.ok) throw new HttpStatusError(response);
  return response;
}
