import type { StartedTestContainer } from 'testcontainers';
import { type Container, containerEngine } from './docker-engine.js';
import { waitFor } from './wait.js';

/** A server's container: what can be done to it from outside, whatever runs in it. */
export class DockerContainer {
  readonly #started: StartedTestContainer;
  readonly #container: Container;

  private constructor(started: StartedTestContainer, container: Container) {
    this.#started = started;
    this.#container = container;
  }

  /** Asks for the engine first: rejects where none answers within 10 s. */
  static async start(run: () => Promise<StartedTestContainer>): Promise<DockerContainer> {
    const engine = await containerEngine();
    const started = await run();
    return new DockerContainer(started, engine.container.getById(started.getId()));
  }

  async logText(from = 0): Promise<string> {
    const log = await this.#container.logs({ stdout: true, stderr: true, follow: false });
    return log.toString('utf8').slice(from);
  }

  async fileText(path: string, from = 0): Promise<string> {
    const { output } = await this.#started.exec(['cat', path]);
    return output.slice(from);
  }

  /** Resolves once it no longer runs; rejects after 30 s. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    await this.#container.kill({ signal });
    await waitFor(async () => !(await this.#container.inspect()).State.Running, {
      timeoutMs: 30_000,
      everyMs: 50,
      what: 'the container to stop',
    });
  }

  async start(): Promise<void> {
    await this.#container.start();
  }

  async pause(): Promise<void> {
    await this.#container.pause();
  }

  async resume(): Promise<void> {
    await this.#container.unpause();
  }

  async dispose(): Promise<void> {
    await this.#started.stop({ timeout: 10_000 });
  }
}
