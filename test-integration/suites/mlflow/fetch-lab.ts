import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MlflowClient, type MlflowClientOptions } from '@outlast/mlflow-retry';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { type HttpProxy, startHttpProxy } from '../../faults/index.js';
import {
  isSkipped,
  type MlflowServer,
  type NativeMlflow,
  type SeededModel,
  seedModel,
  startMlflow,
  type TakeMlflowOptions,
  takeMlflow,
} from '../../servers/index.js';

/** So that a test of what happens after a break does not wait for it. */
const QUICK = { baseDelayMs: 50, maxDelayMs: 500 };

/** Servers, proxies, caches and clients of the tests of a fetch; what a test makes is gone after it. */
export class FetchLab {
  readonly reason: string;
  readonly #first: MlflowServer | undefined;
  #remote: NativeMlflow | undefined;
  readonly #ends: (() => unknown)[] = [];
  #names = 0;

  constructor(taken: Awaited<ReturnType<typeof takeMlflow>>) {
    this.#first = isSkipped(taken) ? undefined : taken;
    this.reason = isSkipped(taken) ? taken.skipped : '';
  }

  /** Its artifacts lie in a folder of its own. */
  get server(): NativeMlflow {
    return this.#first as NativeMlflow;
  }

  /** Its artifacts lie on the first: it takes the way of every store without a local path, such as S3. */
  get remote(): NativeMlflow {
    return this.#remote as NativeMlflow;
  }

  /** Call it first in the `describe`. */
  use({ remote = false } = {}): void {
    beforeAll(async () => {
      if (remote) this.#remote = await startMlflow({ artifactsAt: this.server.artifactsUrl });
    });
    afterEach(async () => {
      for (const end of this.#ends.splice(0).reverse()) await end();
    });
    afterAll(async () => {
      await this.#remote?.dispose();
      await this.#first?.dispose();
    });
  }

  /** Done after the test. */
  later(end: () => unknown): void {
    this.#ends.push(end);
  }

  async proxy(server: { readonly port: number } = this.server): Promise<HttpProxy> {
    const proxy = await startHttpProxy({ targetPort: server.port });
    this.later(() => proxy.close());
    return proxy;
  }

  client(port: number, options: MlflowClientOptions = {}): MlflowClient {
    const { retry, ...others } = options;
    const client = new MlflowClient({
      trackingUri: `http://127.0.0.1:${port}`,
      retry: { ...QUICK, ...retry },
      ...others,
    });
    this.later(() => client.close());
    return client;
  }

  folder(prefix = 'cache'): string {
    const folder = mkdtempSync(join(tmpdir(), `outlast-${prefix}-`));
    this.later(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
  }

  name(prefix = 'model'): string {
    this.#names += 1;
    return `${prefix}-${process.pid}-${this.#names}`;
  }

  /** A registered version with these files, on the first server's disk. */
  async seed(
    files: Record<string, string | Uint8Array>,
    how: { server?: MlflowServer; name?: string; aliases?: string[]; stage?: string } = {},
  ): Promise<SeededModel> {
    const { server = this.server, name = this.name(), ...others } = how;
    return seedModel(server, { name, files, ...others }, this.server);
  }
}

export async function openFetchLab(options: TakeMlflowOptions = {}): Promise<FetchLab> {
  const taken = await takeMlflow({ own: true, ...options });
  if (isSkipped(taken)) console.warn(taken.skipped);
  return new FetchLab(taken);
}

export function randomFile(bytes: number): Buffer {
  return randomBytes(bytes);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Files below a folder, by path. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** Whether a folder holds exactly these files, byte by byte. */
export function expectFiles(folder: string, files: Record<string, string | Uint8Array>): void {
  expect(filesIn(folder)).toEqual(Object.keys(files).sort());
  for (const [path, content] of Object.entries(files)) {
    const found = readFileSync(join(folder, path));
    expect(sha256(found), path).toBe(sha256(Buffer.from(content)));
  }
}

/** What is left in a cache beside its models and notes: nothing, once a fetch is over. */
export function expectTidy(cacheDir: string): void {
  for (const name of ['tmp', 'locks']) expect(readdirSync(join(cacheDir, name)), name).toEqual([]);
}

/** How many models a cache holds. */
export function modelsIn(cacheDir: string): number {
  return readdirSync(join(cacheDir, 'models')).length;
}
