import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** One line of the process table. `state` is the letter of ps: R, S, T (stopped), Z (zombie), … */
interface ProcessEntry {
  pid: number;
  ppid: number;
  state: string;
}

const hasProc = existsSync('/proc/self/stat');

/** Every process of the machine, from /proc, or from `ps` where there is no /proc (macOS). */
function processTable(): ProcessEntry[] {
  return hasProc ? fromProc() : fromPs();
}

function fromProc(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const entry = procEntry(Number(name));
    if (entry) entries.push(entry);
  }
  return entries;
}

function procEntry(pid: number): ProcessEntry | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // the command's name stands in parentheses and may itself hold blanks and parentheses
    const [state = '', ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { pid, ppid: Number(ppid), state };
  } catch {
    return undefined;
  }
}

function fromPs(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  const text = execFileSync('ps', ['-axo', 'pid=,ppid=,stat='], { encoding: 'utf8' });
  for (const line of text.split('\n')) {
    const [pid, ppid, stat] = line.trim().split(/\s+/);
    if (pid && ppid && stat)
      entries.push({ pid: Number(pid), ppid: Number(ppid), state: stat.charAt(0) });
  }
  return entries;
}

/** The state letter of a process, or `undefined` if it is gone; a zombie counts as gone. */
export function processState(pid: number): string | undefined {
  const entry = hasProc ? procEntry(pid) : fromPs().find((one) => one.pid === pid);
  return entry && entry.state !== 'Z' && entry.state !== 'X' ? entry.state : undefined;
}

/** The pids of all children, grandchildren and so on, without `pid` itself and without zombies. */
export function descendants(pid: number): number[] {
  const table = processTable();
  const found: number[] = [];
  const parents = [pid];
  for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
    for (const entry of table) {
      if (entry.ppid !== parent) continue;
      parents.push(entry.pid);
      if (entry.state !== 'Z') found.push(entry.pid);
    }
  }
  return found;
}

/** Sends `signal`; a process that is gone is no error. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** SIGKILL to a process and its descendants without waiting for their end; returns all their pids. */
export function killTreeNow(pid: number): number[] {
  const children = descendants(pid);
  for (const one of [pid, ...children]) signalProcess(one, 'SIGKILL');
  return [pid, ...children];
}
