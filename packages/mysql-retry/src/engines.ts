import type { QueryExtras } from '@outlast/core-retry/connector';
import type { Answer } from './reads.js';

const KEPT = 1000;

/** Bounds of the statement for whose sake a table is asked about. */
type Bounds = Pick<QueryExtras, 'signal' | 'totalTimeoutMs'>;

type AskEngine = (sql: string, values: unknown[], bounds: Bounds) => Promise<Answer>;

/** Which tables are transactional, asked once a table. */
export class Engines {
  private readonly run: AskEngine;
  private readonly known = new Map<string, boolean>();

  /** @param run one statement that only reads */
  constructor(run: AskEngine) {
    this.run = run;
  }

  /** Whether a table is one of InnoDB's; false for a view, and for a table that is not there. */
  async isInnodb(table: readonly string[] | undefined, bounds: Bounds): Promise<boolean> {
    if (table === undefined) return false;
    const key = JSON.stringify(table);
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const [schema, name] = table.length > 1 ? table : [undefined, table[0]];
    const [rows] = await this.run(
      `SELECT ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${schema === undefined ? 'DATABASE()' : '?'} AND TABLE_NAME = ?`,
      schema === undefined ? [name] : [schema, name],
      bounds,
    );
    const engine = engineOf(rows);
    const innodb = engine?.toLowerCase() === 'innodb';
    // A table that is not there yet may come.
    if (engine !== undefined && this.known.size < KEPT) this.known.set(key, innodb);
    return innodb;
  }
}

// By object or, with `rowsAsArray`, by array.
function engineOf(rows: unknown): string | undefined {
  const [row] = rows as readonly (Record<string, unknown> | undefined)[];
  const value = row === undefined ? undefined : Object.values(row)[0];
  return typeof value === 'string' ? value : undefined;
}
