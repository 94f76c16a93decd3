import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Client } from './client.js';

/** MLflow's own client, as its documentation has it; a process for each worker, asked by lines of JSON. */
export const PROGRAM = `import json, sys
import mlflow
for line in sys.stdin:
    job = json.loads(line)
    try:
        path = mlflow.artifacts.download_artifacts(job["uri"], dst_path=job["into"])
        print(json.dumps({"path": path}), flush=True)
    except Exception as error:
        print(json.dumps({"error": type(error).__name__}), flush=True)
`;

type Answer = { readonly path: string; readonly error?: undefined } | { readonly error: string };

export function pythonClient(url: string, python: string): Client {
  const idle: Worker[] = [];
  const all: Worker[] = [];
  return {
    fetch: async (model, into) => {
      // it wants a folder that is there
      await mkdir(into, { recursive: true });
      let worker = idle.pop();
      if (worker === undefined) {
        worker = new Worker(url, python);
        all.push(worker);
      }
      const answer = await worker.ask({ uri: `models:/${model}/1`, into });
      idle.push(worker);
      if (answer.error !== undefined) {
        throw Object.assign(new Error(answer.error), { code: answer.error });
      }
      return answer.path;
    },
    end: () => {
      for (const worker of all) worker.end();
    },
  };
}

class Worker {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  #answer: ((answer: Answer) => void) | undefined;

  constructor(url: string, python: string) {
    this.#process = spawn(python, ['-u', '-c', PROGRAM], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        MLFLOW_TRACKING_URI: url,
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR: 'false',
      },
    });
    // a worker that was ended while it was asked: the pipe to it breaks
    this.#process.stdin.on('error', () => {});
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.#answer?.(JSON.parse(line) as Answer);
    });
    this.#process.on('close', () => this.#answer?.({ error: 'ended' }));
  }

  ask(job: object): Promise<Answer> {
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#process.stdin.write(`${JSON.stringify(job)}\n`);
    });
  }

  end(): void {
    this.#process.kill('SIGKILL');
  }
}
