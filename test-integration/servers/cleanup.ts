import { rmSync } from 'node:fs';
import { killTreeNow } from './process-table.js';

const processes = new Set<number>();
const folders = new Set<string>();
let installed = false;

function cleanUp(): void {
  for (const pid of processes) killTreeNow(pid);
  processes.clear();
  for (const folder of folders)
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  folders.clear();
}

function install(): void {
  if (installed) return;
  installed = true;
  process.on('exit', cleanUp);
  // A signal's default action runs no 'exit' handler, and the servers would live on as orphans.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      cleanUp();
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
  }
}

/** What must not outlive this process: killed and removed on exit and on SIGINT, SIGTERM, SIGHUP. */
export const atExit: {
  /** Kill this process and its descendants. */
  kill(pid: number): void;
  /** `pid` has ended; forget it, for its number may be given to another process. */
  ended(pid: number): void;
  /** Remove this folder. */
  remove(folder: string): void;
  /** This folder is gone already. */
  removed(folder: string): void;
} = {
  kill(pid) {
    install();
    processes.add(pid);
  },
  ended(pid) {
    processes.delete(pid);
  },
  remove(folder) {
    install();
    folders.add(folder);
  },
  removed(folder) {
    folders.delete(folder);
  },
};
