import { readFile, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { atExit } from './cleanup.js';
import { HTTP_PROGRAM } from './http-program.js';
import { temporaryFolder } from './identity.js';
import { freePort } from './ports.js';
import { ServerProcess } from './server-process.js';

/** An HTTP service in a process of its own, which can be stopped and killed. What it wrote survives it. */
export class HttpServerProcess implements AsyncDisposable {
  /** The same for its whole life, restarts included. */
  readonly port: number;
  readonly #process: ServerProcess;
  readonly #folder: string;

  constructor(port: number, folder: string) {
    this.port = port;
    this.#folder = folder;
    const args = ['--input-type=module', '-e', HTTP_PROGRAM, String(port), traces(folder)];
    const name = 'The HTTP service';
    this.#process = new ServerProcess({
      name,
      program: process.execPath,
      args,
      folder,
      watched: true,
    });
  }

  start(): Promise<void> {
    return this.#process.start(async () => (await this.#ask()).status === 200);
  }

  /** Answers what is under way, and ends. */
  stop(): Promise<void> {
    return this.#process.stop();
  }

  kill9(): Promise<void> {
    return this.#process.kill9();
  }

  /** How often each id was written. */
  async writes(): Promise<Map<string, number>> {
    const text = await readFile(traces(this.#folder), 'utf8').catch(() => '');
    const writes = new Map<string, number>();
    for (const id of text.split('\n').filter(Boolean)) writes.set(id, (writes.get(id) ?? 0) + 1);
    return writes;
  }

  /** How many connections it holds, but the one that asks. */
  async connections(): Promise<number> {
    return (await this.#ask()).open;
  }

  async dispose(): Promise<void> {
    if (this.#process.pid !== undefined) await this.kill9();
    await rm(this.#folder, { recursive: true, force: true });
    atExit.removed(this.#folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #ask(): Promise<{ status: number; open: number }> {
    return new Promise((resolve, reject) => {
      const url = `http://127.0.0.1:${this.port}/connections`;
      const request = get(url, { agent: false }, (response) => {
        response.resume();
        const { statusCode: status = 0, headers } = response;
        response.on('end', () => resolve({ status, open: Number(headers['x-open']) }));
      });
      request.on('error', reject);
    });
  }
}

export async function startHttp(): Promise<HttpServerProcess> {
  const server = new HttpServerProcess(await freePort(), temporaryFolder('http', undefined));
  await server.start();
  return server;
}

function traces(folder: string): string {
  return join(folder, 'traces');
}
