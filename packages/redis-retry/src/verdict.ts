import { createHash } from 'node:crypto';
import { OptionError } from '@outlast/core-retry';
import { text, word } from './args.js';
import { isBlocking, isReadOnly, repeatable } from './commands.js';
import type { Argument, Command } from './driver.js';
import { NARROWED } from './narrow.js';
import { REPEATABLE } from './repeatable.js';

/** A name, or a function of a command's name (in lower case; of a script as it was defined) and arguments. */
export type IdempotentCommand =
  | string
  | ((name: string, args: readonly (string | Buffer | number)[]) => boolean);

/** What decides whether a command may run again. */
export interface VerdictOptions {
  readonly commands: {
    readonly names: ReadonlySet<string>;
    readonly functions: readonly ((name: string, args: readonly Argument[]) => boolean)[];
  };
  /** Scripts by their SHA-1: the name under which they were defined, and whether they may run again. */
  readonly scripts: Map<string, { readonly name: string; readonly again: boolean }>;
  readonly counts: boolean;
  readonly blocking: boolean;
  /** The driver's `autoResendUnfulfilledCommands`. */
  readonly resend: boolean;
  /** The caller's word for everything: `retry.idempotent`. */
  readonly idempotent: boolean;
}

/** @throws OptionError for what is neither a name nor a function */
export function idempotentCommands(list: unknown): VerdictOptions['commands'] {
  if (list !== undefined && !Array.isArray(list)) {
    throw new OptionError('retry.idempotentCommands', 'must be an array of names and functions.');
  }
  const names = new Set<string>();
  const functions: ((name: string, args: readonly Argument[]) => boolean)[] = [];
  for (const one of (list ?? []) as unknown[]) {
    if (typeof one === 'string' && one !== '') names.add(one.toLowerCase());
    else if (typeof one === 'function') functions.push(one as (typeof functions)[number]);
    else {
      throw new OptionError(
        'retry.idempotentCommands',
        'must hold names of commands, and functions of a name and arguments.',
      );
    }
  }
  return { names, functions };
}

/** Remembers a script, so that its calls are known by their hash or text. */
export function rememberScript(
  options: VerdictOptions,
  name: string,
  definition: {
    readonly lua?: unknown;
    readonly readOnly?: unknown;
    readonly idempotent?: unknown;
  },
): void {
  if (typeof definition.lua !== 'string') return;
  const again = definition.readOnly === true || definition.idempotent === true;
  options.scripts.set(sha1(definition.lua), { name, again });
}

/** Whether a command whose answer was lost may run again. */
export function mayRepeat(options: VerdictOptions, command: Command): boolean {
  const given = command[NARROWED]?.idempotent;
  if (given !== undefined) return given;
  const name = command.name.toLowerCase();
  const { args } = command;
  if (options.idempotent || command.isReadOnly === true || command[REPEATABLE] === true)
    return true;
  const script = name === 'eval' || name === 'evalsha' ? scriptOf(options, args) : undefined;
  if (script?.again === true) return true;
  if (isGiven(options, script?.name ?? name, args)) return true;
  if (isBlocking(name, args) && !isReadOnly(name)) return mayBlockAgain(options, name, args);
  const again = repeatable(name, args);
  return again === 'yes' || (again === 'count' && options.counts);
}

function isGiven(options: VerdictOptions, name: string, args: readonly Argument[]): boolean {
  const { names, functions } = options.commands;
  if (names.has(name.toLowerCase())) return true;
  try {
    return functions.some((one) => one(name, args) === true);
  } catch {
    // A function of the caller's that throws has not said yes.
    return false;
  }
}

// BullMQ waits on a marker, whose loss costs it nothing: it looks for jobs all the same.
function mayBlockAgain(options: VerdictOptions, name: string, args: readonly Argument[]): boolean {
  if (options.blocking) return true;
  return name === 'bzpopmin' && args.length === 2 && text(args[0]).endsWith(':marker');
}

function scriptOf(
  options: VerdictOptions,
  args: readonly Argument[],
): { readonly name: string; readonly again: boolean } | undefined {
  const { scripts } = options;
  if (scripts.size === 0) return undefined;
  const first = String(args[0]);
  return scripts.get(first.length === 40 ? first : '') ?? scripts.get(sha1(first));
}

function sha1(lua: string): string {
  return createHash('sha1').update(lua).digest('hex');
}

/** A SET that makes a key only if there is none; its lost answer can be looked up. */
export function isSetNx(command: Command): boolean {
  const { args } = command;
  if (args.length < 3) return false;
  let nx = false;
  for (let i = 2; i < args.length; i++) {
    const option = word(args[i]);
    if (option === 'nx') nx = true;
    else if (option === 'get') return false;
  }
  return nx;
}
