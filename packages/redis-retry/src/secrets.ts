import { has, word } from './args.js';
import type { Argument } from './driver.js';

const HIDDEN = ['***'];

/** CONFIG SET parameters that hold a password. */
const SECRET_PARAMETERS: ReadonlySet<string> = new Set([
  'requirepass',
  'masterauth',
  'tls-key-file-pass',
]);

/** Whether the arguments of a command hold credentials. */
function holdsSecret(name: string, args: readonly Argument[]): boolean {
  switch (name) {
    case 'auth':
    case 'hello':
      return args.length > 0;
    case 'acl':
      return word(args[0]) === 'setuser';
    case 'config':
      return word(args[0]) === 'set' && args.some((arg) => SECRET_PARAMETERS.has(word(arg)));
    case 'migrate':
      return has(args, 5, 'auth', 'auth2');
    case 'sentinel':
      return has(args, 0, 'auth-pass', 'auth-user', 'sentinel-pass');
    default:
      return false;
  }
}

/**
 * Takes credentials off an error: ioredis hangs the arguments of the refused command on it, and with
 * WRONGPASS those are the password.
 */
export function hideSecrets(error: unknown): void {
  const command = (error as { command?: { name?: unknown; args?: unknown } } | null)?.command;
  if (typeof command?.name !== 'string' || !Array.isArray(command.args)) return;
  if (!holdsSecret(command.name.toLowerCase(), command.args as Argument[])) return;
  (error as { command: object }).command = { name: command.name, args: HIDDEN };
}
