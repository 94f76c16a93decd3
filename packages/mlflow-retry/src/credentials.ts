import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { OptionError } from '@outlast/core-retry';

type Environment = Readonly<Record<string, string | undefined>>;

/** What a caller, the environment or the file may give. */
export interface Credentials {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
}

/**
 * The `Authorization` header, if there is anybody to be: code over environment over `~/.mlflow/credentials`.
 * Within each, user name and password win over a token. The halves of a pair may stand in two places, as with
 * Python's client; the first of each counts.
 *
 * @throws OptionError for credentials that no header can hold; it does not show them
 */
export function authorization(code: Credentials, env: Environment): string | undefined {
  const levels: Credentials[] = [code, fromEnvironment(env)];
  const first = levels.find(({ username, token }) => username ?? token);
  const file = first === undefined || first.token === undefined ? fromFile(env) : {};
  const chosen = first ?? file;
  const { username } = chosen;
  if (username !== undefined) {
    const password = [...levels, file].find((one) => one.password !== undefined)?.password;
    if (password !== undefined) {
      return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    }
    if (chosen.token === undefined) {
      throw new OptionError(
        'username',
        'was given, but no password: neither as option, nor in MLFLOW_TRACKING_PASSWORD, nor in ~/.mlflow/credentials.',
      );
    }
  }
  const { token } = chosen;
  if (token === undefined) return undefined;
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new OptionError(
      'token',
      'must be a text without spaces, line breaks and special characters; it is not shown here.',
    );
  }
  return `Bearer ${token}`;
}

function fromEnvironment(env: Environment): Credentials {
  return {
    username: env['MLFLOW_TRACKING_USERNAME'] || undefined,
    password: env['MLFLOW_TRACKING_PASSWORD'] || undefined,
    token: env['MLFLOW_TRACKING_TOKEN'] || undefined,
  };
}

/** The section `[mlflow]` of the file that `mlflow` itself reads. A file that is not there is no file. */
function fromFile(env: Environment): Credentials {
  let text: string;
  try {
    text = readFileSync(join(env['HOME'] || homedir(), '.mlflow', 'credentials'), 'utf8');
  } catch {
    return {};
  }
  const [, ...behind] = text.split(/^\s*\[mlflow\]\s*$/m);
  const [section = ''] = behind.join('\n').split(/^\s*\[/m);
  const value = (key: string): string | undefined =>
    new RegExp(`^\\s*${key}\\s*[=:]\\s*(.*?)\\s*$`, 'im').exec(section)?.[1] || undefined;
  return {
    username: value('mlflow_tracking_username'),
    password: value('mlflow_tracking_password'),
  };
}
