import type { Argument } from './driver.js';

// biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII begins there.
const NOT_ASCII = /[^\x00-\x7f]/;

/** An argument as text; bytes are read as Latin-1, so that no two different ones become equal. */
export function text(argument: Argument | undefined): string {
  if (argument === undefined) return '';
  if (Buffer.isBuffer(argument)) return argument.toString('latin1');
  const string = String(argument);
  return NOT_ASCII.test(string) ? Buffer.from(string).toString('latin1') : string;
}

/** An option or subcommand as the server compares it. */
export function word(argument: Argument | undefined): string {
  // Whatever is longer is a value: no option of Redis has more than 20 letters.
  if (argument === undefined) return '';
  if ((argument as string).length > 20) return '';
  return text(argument).toLowerCase();
}

/** Whether one of the options stands among the arguments from `from` on. */
export function has(args: readonly Argument[], from: number, ...options: string[]): boolean {
  for (let i = from; i < args.length; i++) if (options.includes(word(args[i]))) return true;
  return false;
}

/** Whether an argument of the same bytes stands among `among`. */
export function contains(among: readonly Argument[], argument: Argument | undefined): boolean {
  const wanted = text(argument);
  return among.some((one) => text(one) === wanted);
}
