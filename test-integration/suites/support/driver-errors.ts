import pg from 'pg';

/** The error objects that the driver itself made, in order. */
export interface DriverErrors {
  readonly made: readonly unknown[];
  [Symbol.dispose](): void;
}

/** Listens in the driver: what it fails a statement with, before anybody else has touched it. */
export function watchDriverErrors(): DriverErrors {
  const made: unknown[] = [];
  const prototype = pg.Query.prototype as unknown as {
    handleError(error: unknown, connection: unknown): unknown;
  };
  const original = prototype.handleError;
  prototype.handleError = function handleError(error, connection) {
    made.push(error);
    return original.call(this, error, connection);
  };
  return {
    made,
    [Symbol.dispose]() {
      prototype.handleError = original;
    },
  };
}
