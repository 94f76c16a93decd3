/** How often a text was executed, by the server's own log (`log_statement = all`). */
export function occurrences(log: string, text: string): number {
  return executions(log).filter((one) => one.text.includes(text)).length;
}

/** For each execution of `text`, in order, whether its session had said BEGIN READ ONLY before. */
export function guardsIn(log: string, text: string): boolean[] {
  const guarded = new Map<string, boolean>();
  const found: boolean[] = [];
  for (const one of executions(log)) {
    if (one.text.startsWith('BEGIN READ ONLY')) guarded.set(one.pid, true);
    else if (/^(commit|rollback)/i.test(one.text)) guarded.set(one.pid, false);
    else if (one.text.includes(text)) found.push(guarded.get(one.pid) === true);
  }
  return found;
}

/** Every statement that was executed, in order. */
export function executions(log: string): { readonly pid: string; readonly text: string }[] {
  const line = /^[^[\n]+\[(\d+)\] [^\n]*? LOG: {2}(?:statement|execute [^:]*): /gm;
  const starts = [...log.matchAll(line)];
  return starts.map((start) => {
    const from = start.index + start[0].length;
    // A text with line breaks goes on until the next line that begins with a date.
    const end = log.slice(from).search(/\n\d{4}-\d\d-\d\d /);
    return { pid: start[1] as string, text: log.slice(from, end < 0 ? undefined : from + end) };
  });
}
