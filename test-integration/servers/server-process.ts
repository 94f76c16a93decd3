import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { atExit } from './cleanup.js';
import type { Identity } from './identity.js';
import { killTree, pauseTree, resumeTree } from './processes.js';
import { waitFor } from './wait.js';
import { watchdog } from './watchdog.js';

const START_MS = 30_000;
const STOP_MS = 15_000;

/** What to run, and what to call it in an error. */
export interface ServerProgram {
  name: string;
  program: string;
  args: string[];
  /** Its working folder; its output goes to `server.log` there. */
  folder: string;
  /** Whom it runs as. Default: ourselves. */
  identity?: Identity | undefined;
  /** Whether it ends, and its folder goes, even when this process is killed with -9. Default false. */
  watched?: boolean;
  /** Added to the environment. */
  env?: Readonly<Record<string, string>>;
  /** How long a start may take, ms. Default 30 000. */
  startMs?: number;
}

/** One server process that is a child of ours: started, stopped, killed, paused, started again. */
export class ServerProcess {
  readonly #of: ServerProgram;
  #child: ChildProcess | undefined;

  constructor(of: ServerProgram) {
    this.#of = of;
  }

  /** `undefined` while it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What it has printed since it was made, from character `from` on. */
  async logText(from = 0): Promise<string> {
    return (await readFile(this.#log, 'utf8')).slice(from);
  }

  /** Starts it and resolves when `answers` is true; rejects with the end of its log if it ends before. */
  async start(answers: () => Promise<boolean>): Promise<void> {
    if (this.#child) throw new Error(`${this.#of.name} is running already.`);
    const child = this.#spawn();
    try {
      await waitFor(() => this.#child !== child || answers(), {
        timeoutMs: this.#of.startMs ?? START_MS,
        what: `${this.#of.name} to start`,
      });
    } catch (error) {
      await this.kill9();
      throw error;
    }
    if (this.#child === child) return;
    const tail = (await this.logText()).trimEnd().split('\n').slice(-12).join('\n');
    throw new Error(`${this.#of.name} ended while starting. Its log ends with:\n${tail}`);
  }

  /** Sends `signal` and waits for the end, 15 s at most. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#running();
    resumeTree(child.pid as number);
    child.kill(signal);
    await waitFor(() => this.#child !== child, {
      timeoutMs: STOP_MS,
      everyMs: 5,
      what: `${this.#of.name} to stop`,
    });
  }

  /** kill -9 of it and its children. */
  async kill9(): Promise<void> {
    const child = this.#running();
    await killTree(child.pid as number);
    await waitFor(() => this.#child !== child, {
      everyMs: 5,
      what: `the exit of ${this.#of.name}`,
    });
  }

  async pause(): Promise<void> {
    await pauseTree(this.#running().pid as number);
  }

  async resume(): Promise<void> {
    resumeTree(this.#running().pid as number);
  }

  get #log(): string {
    return join(this.#of.folder, 'server.log');
  }

  #spawn(): ChildProcess {
    const { program, args, folder, identity, watched, env } = this.#of;
    const log = openSync(this.#log, 'a');
    const child = spawn(program, args, {
      ...identity,
      cwd: folder,
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    });
    closeSync(log);
    this.#child = child;
    const pid = child.pid;
    if (pid) atExit.kill(pid);
    const callOff = pid && watched ? watchdog(pid, folder) : undefined;
    const ended = (): void => {
      if (pid) atExit.ended(pid);
      callOff?.();
      if (this.#child === child) this.#child = undefined;
    };
    child.once('exit', ended);
    child.once('error', (error) => {
      appendFileSync(this.#log, `${error.message}\n`);
      ended();
    });
    child.unref();
    return child;
  }

  #running(): ChildProcess {
    if (!this.#child?.pid) throw new Error(`${this.#of.name} is not running.`);
    return this.#child;
  }
}
