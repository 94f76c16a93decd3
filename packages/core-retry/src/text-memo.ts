const MAX_TEXT = 64 * 1024;
const GENERATION = 250;

/**
 * A function of a text that remembers up to 500 answers, to texts of at most 64 kB. In two generations
 * instead of a least-recently-used list: a hit on a hot text is one `Map.get`.
 */
export function rememberByText<T extends object>(find: (text: string) => T): (text: string) => T {
  let recent = new Map<string, T>();
  let older = new Map<string, T>();
  return (text) => {
    const known = recent.get(text);
    if (known !== undefined) return known;
    const found = older.get(text) ?? find(text);
    if (text.length > MAX_TEXT) return found;
    if (recent.size >= GENERATION) {
      older = recent;
      recent = new Map();
    }
    recent.set(text, found);
    return found;
  };
}
