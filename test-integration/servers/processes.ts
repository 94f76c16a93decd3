import { descendants, killTreeNow, processState, signalProcess } from './process-table.js';
import { waitFor } from './wait.js';

/**
 * kill -9 of a whole tree: the parent is frozen first, so that it cannot fork a child that escapes the list.
 * Resolves when all are gone (zombies count as gone); rejects after 10 s.
 */
export async function killTree(pid: number): Promise<void> {
  await freeze(pid);
  const pids = killTreeNow(pid);
  await waitFor(() => pids.every((one) => processState(one) === undefined), {
    everyMs: 5,
    what: `the end of the killed processes ${pids.join(', ')}`,
  });
}

/** SIGSTOP to a process, then to all its descendants: none of them runs until `resumeTree`. */
export async function pauseTree(pid: number): Promise<void> {
  await freeze(pid);
  for (const child of descendants(pid)) signalProcess(child, 'SIGSTOP');
}

/** SIGCONT to all descendants and the process itself. */
export function resumeTree(pid: number): void {
  for (const child of descendants(pid)) signalProcess(child, 'SIGCONT');
  signalProcess(pid, 'SIGCONT');
}

async function freeze(pid: number): Promise<void> {
  signalProcess(pid, 'SIGSTOP');
  await waitFor(() => ['T', undefined].includes(processState(pid)), {
    everyMs: 2,
    what: `process ${pid} to stop`,
  });
}
