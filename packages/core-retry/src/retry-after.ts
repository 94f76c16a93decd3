/**
 * Reads a `Retry-After` header: seconds (fractions allowed) or an HTTP-date.
 *
 * @param wallNowMs the time of day against which a date is read; the server's, if its `Date` header is at hand
 * @returns milliseconds, 0 for a date in the past, or undefined for what is no hint (empty, negative, `soon`)
 * @see RFC 9110, section 10.2.3
 */
export function parseRetryAfter(
  value: string | number | null | undefined,
  wallNowMs: number,
): number | undefined {
  if (value === null || value === undefined) return undefined;
  const text = String(value).trim();
  if (/^\d+(\.\d+)?$/.test(text)) return Math.ceil(Number(text) * 1000);
  // An HTTP-date begins with the name of a day; Date.parse alone would take '-5' and '1e9' for dates.
  if (!/^(mon|tue|wed|thu|fri|sat|sun)/i.test(text)) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - wallNowMs);
}
