/** One page of a search, as Python's: the items, and the token of the next page if there is one. */
export class PagedList<T> extends Array<T> {
  /** What `pageToken` takes; undefined on the last page. */
  token: string | undefined;

  // what is made of it is an ordinary array
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }
}

/** @param items of the answer; the server leaves out a list that is empty */
export function pageOf<T>(items: readonly T[] | undefined, token: unknown): PagedList<T> {
  const page = new PagedList<T>();
  page.push(...(items ?? []));
  page.token = typeof token === 'string' && token !== '' ? token : undefined;
  return page;
}

/**
 * Everything that a search finds, page by page. Ends with a page that has no token, and with one that has a
 * token and nothing else: MLflow gives those without end.
 */
export async function* everything<T>(
  search: (pageToken: string | undefined) => Promise<PagedList<T>>,
  from?: string,
): AsyncGenerator<T, void, undefined> {
  let token = from;
  for (;;) {
    const page = await search(token);
    yield* page;
    if (page.token === undefined || page.token === token || page.length === 0) return;
    token = page.token;
  }
}
