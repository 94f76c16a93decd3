import { opendir, stat } from 'node:fs/promises';
import path from 'node:path';
import { encodePath } from './address.js';
import { optionsOf, required } from './input.js';
import type { CallBounds } from './options.js';
import { everything, pageOf } from './paging.js';
import type { FileInfo } from './types.js';
import { checkName, inTurn, proxiedPath, type UploadSource, upload } from './upload.js';
import { Versions } from './versions.js';

/** Options of `logArtifact()`. */
export interface LogArtifactOptions extends CallBounds {
  /** The folder, from the root of the run or model on. Default: the root. */
  readonly artifactPath?: string;
}

const MOST_ROOTS = 1000;

/** Files of runs and of logged models. */
export abstract class Artifacts extends Versions {
  /** Where runs and models keep their files, which never changes. */
  readonly #roots = new Map<string, string>();

  /** What one folder of a run holds. Of a folder that there is not, the server says that it is empty. */
  async listArtifacts(
    runId: string,
    options?: CallBounds & { readonly path?: string },
  ): Promise<FileInfo[]> {
    const operation = 'listArtifacts';
    required(operation, { runId });
    const { path: folder, ...bounds } = optionsOf(operation, options, 'path');
    return this.#list(operation, 'artifacts/list', { run_id: runId, path: folder }, bounds);
  }

  /** What one folder of a logged model holds. */
  async listLoggedModelArtifacts(
    modelId: string,
    options?: CallBounds & { readonly path?: string },
  ): Promise<FileInfo[]> {
    const operation = 'listLoggedModelArtifacts';
    required(operation, { modelId });
    const { path: folder, ...bounds } = optionsOf(operation, options, 'path');
    const place = `logged-models/${encodePath(modelId)}/artifacts/directories`;
    // A name that it does not know would make it list the root.
    return this.#list(operation, place, { artifact_directory_path: folder }, bounds);
  }

  /** Uploads a file. The server has the whole of it or, if that fails, what it had before. */
  async logArtifact(runId: string, localPath: string, options?: LogArtifactOptions): Promise<void> {
    const operation = 'logArtifact';
    required(operation, { runId, localPath });
    const { artifactPath = '', ...bounds } = optionsOf(operation, options, 'artifactPath');
    const root = await this.#rootOf(runId, bounds);
    const name = path.posix.join(artifactPath, path.basename(localPath));
    await this.#put(operation, root, name, { file: localPath }, bounds);
  }

  /** Uploads what a folder holds, its folders included. If a file fails, those before it are there. */
  async logArtifacts(runId: string, localDir: string, options?: LogArtifactOptions): Promise<void> {
    const operation = 'logArtifacts';
    required(operation, { runId, localDir });
    const { artifactPath = '', ...bounds } = optionsOf(operation, options, 'artifactPath');
    await this.#putFolder(
      operation,
      await this.#rootOf(runId, bounds),
      localDir,
      artifactPath,
      bounds,
    );
  }

  /** Uploads a text as a file. */
  async logText(
    runId: string,
    text: string,
    artifactFile: string,
    options?: CallBounds,
  ): Promise<void> {
    const operation = 'logText';
    required(operation, { runId, artifactFile });
    const bounds = optionsOf(operation, options);
    const root = await this.#rootOf(runId, bounds);
    await this.#put(operation, root, artifactFile, { bytes: Buffer.from(text) }, bounds);
  }

  /** Uploads an object as a file of JSON. */
  async logDict(
    runId: string,
    dictionary: object,
    artifactFile: string,
    options?: CallBounds,
  ): Promise<void> {
    return this.logText(runId, JSON.stringify(dictionary, null, 2), artifactFile, options);
  }

  /** Uploads a file of a logged model. */
  async logModelArtifact(
    modelId: string,
    localPath: string,
    options?: LogArtifactOptions,
  ): Promise<void> {
    const operation = 'logModelArtifact';
    required(operation, { modelId, localPath });
    const { artifactPath = '', ...bounds } = optionsOf(operation, options, 'artifactPath');
    const root = await this.#rootOf(modelId, bounds, true);
    const name = path.posix.join(artifactPath, path.basename(localPath));
    await this.#put(operation, root, name, { file: localPath }, bounds);
  }

  /** Uploads what a folder holds into a logged model. */
  async logModelArtifacts(
    modelId: string,
    localDir: string,
    options?: LogArtifactOptions,
  ): Promise<void> {
    const operation = 'logModelArtifacts';
    required(operation, { modelId, localDir });
    const { artifactPath = '', ...bounds } = optionsOf(operation, options, 'artifactPath');
    const root = await this.#rootOf(modelId, bounds, true);
    await this.#putFolder(operation, root, localDir, artifactPath, bounds);
  }

  async #list(
    operation: string,
    place: string,
    query: Record<string, string | undefined>,
    bounds: CallBounds,
  ): Promise<FileInfo[]> {
    const page = (page_token: string | undefined) =>
      this.read(
        operation,
        place,
        { ...query, page_token },
        (answer) => pageOf<FileInfo>(answer.files?.map(complete), answer.next_page_token),
        bounds,
      );
    const found: FileInfo[] = [];
    for await (const file of everything(page)) found.push(file);
    return found;
  }

  async #put(
    operation: string,
    root: string,
    name: string,
    source: UploadSource,
    bounds: CallBounds,
  ): Promise<void> {
    checkName(operation, name);
    await upload(this.transport, operation, `${root}/${name}`, source, bounds);
  }

  async #putFolder(
    operation: string,
    root: string,
    localDir: string,
    artifactPath: string,
    bounds: CallBounds,
  ): Promise<void> {
    const files = await filesIn(localDir);
    for (const file of files) checkName(operation, path.posix.join(artifactPath, file));
    await inTurn(files, (file) => {
      const name = path.posix.join(artifactPath, file);
      return this.#put(operation, root, name, { file: path.join(localDir, file) }, bounds);
    });
  }

  async #rootOf(id: string, bounds: CallBounds, model = false): Promise<string> {
    const known = this.#roots.get(id);
    if (known !== undefined) return known;
    const uri = model
      ? await this.transport.json<string>({
          operation: 'getLoggedModel',
          path: `logged-models/${encodePath(id)}`,
          pick: (answer) => answer.model.info.artifact_uri,
          bounds,
        })
      : (await this.getRun(id, bounds)).info.artifact_uri;
    const root = proxiedPath(uri, this.transport.settings.address.origin);
    if (this.#roots.size >= MOST_ROOTS) this.#roots.clear();
    this.#roots.set(id, root);
    return root;
  }
}

/** Relative paths of all files below a folder, with slashes, in order. */
async function filesIn(folder: string, below = ''): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of await opendir(path.join(folder, below))) {
    const name = path.posix.join(below, entry.name);
    const linked = entry.isSymbolicLink() && (await stat(path.join(folder, name))).isFile();
    if (entry.isDirectory()) found.push(...(await filesIn(folder, name)));
    else if (entry.isFile() || linked) found.push(name);
  }
  return found.sort();
}

// The server says nothing of the size of empty files.
function complete(file: Partial<FileInfo> & { path: string }): FileInfo {
  return { path: file.path, is_dir: file.is_dir === true, file_size: Number(file.file_size ?? 0) };
}
