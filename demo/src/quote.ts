import { readFileSync } from 'node:fs';

/** The source of a file below `demo/src`, for the report to quote. */
export function quote(title: string, file: string): { title: string; text: string } {
  const source = new URL(`../src/${file}`, import.meta.url);
  return { title, text: readFileSync(source, 'utf8').trimEnd() };
}
