import type { OptionError } from '@outlast/core-retry';
import { invalidOption } from '@outlast/core-retry/connector';

/** What a model URI asks for. `subPath` is '' for all of it, else names joined by '/'. */
export type ModelReference = { readonly subPath: string } & (
  | { readonly kind: 'version'; readonly name: string; readonly version: string }
  | { readonly kind: 'alias'; readonly name: string; readonly alias: string }
  | { readonly kind: 'stage'; readonly name: string; readonly stage: string }
  | { readonly kind: 'latest'; readonly name: string }
  | { readonly kind: 'logged-model'; readonly modelId: string }
  | { readonly kind: 'run'; readonly runId: string }
  | { readonly kind: 'artifacts'; readonly host?: string }
);

const VALID =
  "a model URI: 'models:/name/12', 'models:/name@alias', 'models:/name/Production', 'models:/name/latest', " +
  "'models:/m-<id>', 'runs:/<run id>/path' or 'mlflow-artifacts:/path'";
// The server's stages (any case); a stage of another name is refused there with 400.
const STAGES = ['None', 'Staging', 'Production', 'Archived'];
// As the server makes them: "m-" and a UUID without hyphens.
const MODEL_ID = /^m-[0-9a-f]{32}$/;
const CONTROL = /\p{Cc}/u;

/**
 * Reads a model URI as Python's client does. Nothing is decoded: a '%' or '?' belongs to the name.
 *
 * @throws OptionError that shows a right one
 */
export function parseModelUri(uri: string): ModelReference {
  if (typeof uri !== 'string' || uri === '') throw invalidOption('uri', uri, VALID);
  if (CONTROL.test(uri)) throw wrong(uri, 'without control characters');
  const colon = uri.indexOf(':');
  const scheme = uri.slice(0, Math.max(colon, 0)).toLowerCase();
  const rest = uri.slice(colon + 1);
  if (scheme === 'models') return registered(uri, pathOf(uri, rest));
  if (scheme === 'runs') return run(uri, pathOf(uri, rest));
  if (scheme === 'mlflow-artifacts') return artifacts(uri, rest);
  throw invalidOption('uri', uri, VALID);
}

/** `/a/b` or `///a/b`, without its slashes; a host is refused. */
function pathOf(uri: string, rest: string): string {
  if (!/^\/(?!\/)|^\/\/\//.test(rest)) {
    throw wrong(
      uri,
      "with one slash and no host (the server is the client's trackingUri), such as 'models:/name/12'",
    );
  }
  return rest.replace(/^\/+/, '');
}

function registered(uri: string, path: string): ModelReference {
  const [first = '', ...others] = path.split('/');
  const at = first.lastIndexOf('@');
  if (at >= 0) {
    const name = first.slice(0, at);
    const alias = first.slice(at + 1);
    if (alias === '')
      throw wrong(uri, "with an alias after the '@', such as 'models:/name@champion'");
    return { kind: 'alias', name: named(uri, name), alias, subPath: inside(uri, others) };
  }
  if (MODEL_ID.test(first)) {
    return { kind: 'logged-model', modelId: first, subPath: inside(uri, others) };
  }
  const [which, ...below] = others;
  if (which === undefined || which === '') {
    if (which === undefined && first.startsWith('m-')) {
      return { kind: 'logged-model', modelId: first, subPath: '' };
    }
    throw wrong(
      uri,
      "with a version, stage or alias, such as 'models:/name/12', 'models:/name/Production' or 'models:/name@champion'",
    );
  }
  const name = named(uri, first);
  const subPath = inside(uri, below);
  if (/^\d+$/.test(which)) return { kind: 'version', name, version: which, subPath };
  if (which.toLowerCase() === 'latest') return { kind: 'latest', name, subPath };
  const stage = STAGES.find((one) => one.toLowerCase() === which.toLowerCase());
  if (stage !== undefined) return { kind: 'stage', name, stage, subPath };
  throw wrong(
    uri,
    `with a version (digits), 'latest' or one of the stages ${STAGES.join(', ')} after the name; an alias is written 'models:/name@alias'`,
  );
}

function run(uri: string, path: string): ModelReference {
  const [runId = '', ...below] = path.split('/');
  if (!/^[\w-]+$/.test(runId)) {
    throw wrong(uri, "with a run's id, such as 'runs:/0123456789abcdef0123456789abcdef/model'");
  }
  return { kind: 'run', runId, subPath: inside(uri, below) };
}

function artifacts(uri: string, rest: string): ModelReference {
  const match = /^(?:\/\/([^/]*))?\/(.*)$/.exec(rest);
  const host = match?.[1] ?? '';
  const subPath = inside(uri, (match?.[2] ?? '').replace(/^\/+/, '').split('/'));
  // A host that is a bare number is somebody's port that lost its host; user and password belong into the client.
  if (match === null || subPath === '' || /^\d+$/.test(host) || /[@?#\s\\]/.test(host)) {
    throw wrong(
      uri,
      "with a path, such as 'mlflow-artifacts:/1/<run id>/artifacts/model' or 'mlflow-artifacts://host:5000/1/model'",
    );
  }
  return { kind: 'artifacts', subPath, ...(host !== '' && { host }) };
}

/** As the server allows names: any but with '/' or ':'. */
function named(uri: string, name: string): string {
  if (name !== '' && !name.includes(':')) return name;
  throw wrong(uri, "with a model's name (without '/' and ':'), such as 'models:/churn/12'");
}

/** A path inside the model; slashes at its end do not count. */
function inside(uri: string, names: readonly string[]): string {
  let end = names.length;
  while (end > 0 && names[end - 1] === '') end--;
  const kept = names.slice(0, end);
  if (kept.some((name) => name === '' || name === '.' || name === '..' || name.includes('\\'))) {
    throw wrong(uri, "with a path of plain names, such as 'models:/churn/12/data/weights.bin'");
  }
  return kept.join('/');
}

function wrong(uri: string, how: string): OptionError {
  return invalidOption('uri', uri, `a model URI ${how}`);
}
