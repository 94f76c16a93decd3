const KINDS: ReadonlySet<string> = new Set([
  'watch',
  'unwatch',
  'multi',
  'exec',
  'discard',
  'quit',
  'set',
]);
const kinds = new Map<string, string>();

/** The kind of a command that needs more than a look at the clock, or ''. Names come as the caller wrote them: `call('EXEC')`. */
export function kindOf(name: string): string {
  let kind = kinds.get(name);
  if (kind === undefined) {
    const lower = name.toLowerCase();
    kind = KINDS.has(lower) ? lower : '';
    // Made-up names must not fill the memory.
    if (kinds.size > 2000) kinds.clear();
    kinds.set(name, kind);
  }
  return kind;
}
