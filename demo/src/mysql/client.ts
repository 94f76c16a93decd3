import type { ResultSetHeader } from 'mysql2/promise';

/** Runs one statement; rows, or what a write says of itself. */
export type Query = (sql: string, values: unknown[]) => Promise<ResultSetHeader>;

/** What the application of a lane works with. */
export interface Client {
  readonly query: Query;
  /** A write whose outcome is found out if its answer is lost; undefined where there is no such thing. */
  readonly resolvedWrite?: Query;
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  end(): Promise<void>;
}

/** Of each lane's pool; there are twice as many workers. */
export const POOL_SIZE = 10;
