/** What a promise rejects with; fails the test if it resolves instead. */
// biome-ignore lint/suspicious/noExplicitAny: whatever was thrown is what a test wants to look into
export async function failureOf(promise: PromiseLike<unknown>): Promise<any> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`It was expected to fail, and resolved with ${JSON.stringify(value)}.`);
}

/** How a promise ended, and after how many milliseconds. Never rejects. */
export async function ending<T>(promise: PromiseLike<T>): Promise<Ending<T>> {
  const start = performance.now();
  try {
    const value = await promise;
    return { ok: true, value, ms: performance.now() - start };
  } catch (error) {
    return { ok: false, error, ms: performance.now() - start };
  }
}

export type Ending<T> =
  | { readonly ok: true; readonly value: T; readonly ms: number }
  // biome-ignore lint/suspicious/noExplicitAny: as above
  | { readonly ok: false; readonly error: any; readonly ms: number };
