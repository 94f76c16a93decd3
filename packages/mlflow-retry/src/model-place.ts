import type { Resume } from '@outlast/http-retry';
import { encodePath } from './address.js';
import { MalformedAnswerError, UnlistableStoreError } from './fetch-model-errors.js';
import type { Listable, ListedEntry } from './listing.js';
import type { ModelServer } from './model-server.js';
import type { ModelSource } from './model-source.js';
import { join, safeChild, safeName } from './safe-path.js';

/** Where the files of a model are listed and fetched. Paths are below the model's root. */
export interface ModelPlace extends Listable {
  readonly server: ModelServer;
  /** The route of a file, and how it may be resumed there. */
  file(path: string): Route;
  /**
   * Another route to the same file, for one that broke where the first cannot be resumed: a store without a
   * local path is served there without a length and without ranges.
   */
  again?(path: string): Route;
}

interface Route {
  readonly path: string;
  readonly resume: Resume;
}

const PROXIED = '/api/2.0/mlflow-artifacts/artifacts';
const PROXIED_URL =
  /^(https?:\/\/[^?#]*?)\/(?:ajax-)?api\/2\.0\/mlflow-artifacts\/artifacts\/([^?#]*)$/i;
const LOGGED_MODEL_ROOT = /\/models\/(m-[^/]+)\/artifacts\/?$/;
// A file system cannot hold more pages than this; a server that never ends would.
const MAX_PAGES = 10_000;

/** Pins where the artifacts are; for a registered version the server is asked, for `source` need not be it. */
export async function placeOf(
  uri: string,
  source: ModelSource,
  server: ModelServer,
): Promise<ModelPlace> {
  const artifacts = await artifactUri(uri, source, server);
  const proxied = proxiedPlace(artifacts, source, server);
  if (proxied !== undefined) return proxied;
  const listed = await listedPlace(artifacts, source, server);
  if (listed !== undefined) return listed;
  throw new UnlistableStoreError(uri, artifacts);
}

async function artifactUri(uri: string, source: ModelSource, server: ModelServer): Promise<string> {
  if (source.kind !== 'version') return source.source;
  const { name, version } = source;
  const answer = await server.ask('/mlflow/model-versions/get-download-uri', { name, version });
  const pinned = answer['artifact_uri'];
  if (typeof pinned !== 'string' || pinned === '')
    throw new MalformedAnswerError(uri, 'artifact_uri');
  return pinned;
}

/** Artifacts that an MLflow server serves by itself: `mlflow-artifacts:`, or its route written out. */
function proxiedPlace(
  artifacts: string,
  source: ModelSource,
  tracking: ModelServer,
): ModelPlace | undefined {
  const match = /^mlflow-artifacts:(?:\/\/([^/]*))?\/+(.*)$/.exec(artifacts);
  const written = PROXIED_URL.exec(artifacts);
  if (match === null && written === null) return undefined;
  const server = written ? tracking.at(written[1] as string) : tracking.onHost(match?.[1] ?? '');
  // For mlflow-artifacts:/a/b itself the path asked for is the path of the store.
  const root = source.kind === 'artifacts' ? '' : trimmed(written?.[2] ?? match?.[2] ?? '');
  const at = (path: string): string => (path === '' ? root : join(root, path));
  return {
    server,
    nameOf: safeName,
    list: async (folder) => {
      const { files } = await server.ask('/mlflow-artifacts/artifacts', { path: at(folder) });
      return entries(files);
    },
    file: (path) => ({ path: `${PROXIED}/${encodePath(at(path))}`, resume: 'validator' }),
    ...(server === tracking && downloadedBy(source)),
  };
}

/** Artifacts of any store, by the routes of the run or logged model that they belong to. */
async function listedPlace(
  artifacts: string,
  source: ModelSource,
  server: ModelServer,
): Promise<ModelPlace | undefined> {
  const by = downloadedBy(source);
  if (by.again === undefined) return undefined;
  const file = by.again;
  const { runId } = source;
  const modelId = source.modelId ?? LOGGED_MODEL_ROOT.exec(artifacts)?.[1];
  if (modelId !== undefined && LOGGED_MODEL_ROOT.test(artifacts)) {
    const route = `/mlflow/logged-models/${encodeURIComponent(modelId)}/artifacts/directories`;
    const list = (path: string): Promise<readonly ListedEntry[]> =>
      paged((page_token) => server.ask(route, { artifact_directory_path: path, page_token }));
    return { server, file, list, nameOf: safeChild };
  }
  if (runId === undefined) return undefined;
  const root = source.kind === 'run' ? '' : await insideRun(artifacts, runId, server);
  if (root === undefined) return undefined;
  const below = (path: string): string =>
    root === '' || path === '' ? root + path : join(root, path);
  return {
    server,
    file,
    nameOf: (folder, listed) => safeChild(below(folder), listed),
    list: (folder) =>
      paged((page_token) =>
        server.ask('/mlflow/artifacts/list', {
          run_id: runId,
          path: below(folder) || undefined,
          page_token,
        }),
      ),
  };
}

async function insideRun(
  artifacts: string,
  runId: string,
  server: ModelServer,
): Promise<string | undefined> {
  const { run } = (await server.ask('/mlflow/runs/get', { run_id: runId })) as {
    run?: { info?: { artifact_uri?: unknown } };
  };
  const root = run?.info?.artifact_uri;
  if (typeof root !== 'string' || root === '') return undefined;
  const from = trimmed(artifacts, false);
  const to = trimmed(root, false);
  if (from === to) return '';
  return from.startsWith(`${to}/`) ? from.slice(to.length + 1) : undefined;
}

/**
 * The routes by which the server itself fetches a file from its store. Their ETag is of a copy that is made for
 * each request, so they are resumed by size; see "How it goes on after a break" in docs/mlflow.md.
 */
function downloadedBy(source: ModelSource): Pick<ModelPlace, 'again'> {
  const { kind, name, version, runId } = source;
  const again = (route: string, query: Record<string, string>) => ({
    again: (path: string): Route => ({
      path: `${route}?${new URLSearchParams({ ...query, path })}`,
      resume: 'size' as const,
    }),
  });
  if (kind === 'version') return again('/model-versions/get-artifact', { name, version });
  if (kind === 'run' && runId !== undefined) return again('/get-artifact', { run_id: runId });
  if (kind !== 'logged-model') return {};
  const route = `/ajax-api/2.0/mlflow/logged-models/${encodeURIComponent(version)}/artifacts/files`;
  return {
    again: (path) => ({
      path: `${route}?${new URLSearchParams({ artifact_file_path: path })}`,
      resume: 'size',
    }),
  };
}

async function paged(
  ask: (token: string | undefined) => Promise<Readonly<Record<string, unknown>>>,
): Promise<readonly ListedEntry[]> {
  const all: ListedEntry[] = [];
  let token: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const { files, next_page_token } = await ask(token);
    const found = entries(files);
    all.push(...found);
    // A token with an empty page must end, and so must one that comes again.
    if (typeof next_page_token !== 'string' || next_page_token === '') break;
    if (found.length === 0 || next_page_token === token) break;
    token = next_page_token;
  }
  return all;
}

function entries(files: unknown): readonly ListedEntry[] {
  return Array.isArray(files) ? files.filter((one) => typeof one === 'object' && one !== null) : [];
}

/** Without slashes at its end, and, unless told otherwise, at its start. */
function trimmed(path: string, start = true): string {
  return (start ? path.replace(/^\/+/, '') : path).replace(/\/+$/, '');
}
