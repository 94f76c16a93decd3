import { inspect } from 'node:util';

/** In which of these places the canary can be seen; empty if in none. */
export function findCanary(
  canary: string,
  texts: Readonly<Record<string, string>>,
  errors: readonly unknown[],
): string[] {
  const seenIn = Object.keys(texts).filter((name) => texts[name]?.includes(canary));
  const tell = errors.filter((error) =>
    inspect(error, { depth: 12, showHidden: true }).includes(canary),
  );
  return tell.length === 0 ? seenIn : [...seenIn, `${tell.length} errors`];
}
