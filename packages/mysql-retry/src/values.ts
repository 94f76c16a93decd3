const DEPTH = 3;

/**
 * Whether values hold SQL that goes into the text as it is (`raw()`, anything with `toSqlString`). What is
 * nested too deep to be looked through counts as such.
 */
export function carriesRawSql(value: unknown, depth: number = DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (value instanceof Date || ArrayBuffer.isView(value)) return false;
  if (typeof (value as { toSqlString?: unknown }).toSqlString === 'function') return true;
  if (depth === 0) return true;
  return Object.values(value).some((one) => carriesRawSql(one, depth - 1));
}
