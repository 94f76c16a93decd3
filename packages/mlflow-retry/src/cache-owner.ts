import { readFileSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';

/** Which process a lock or a staging folder belongs to. */
interface Owner {
  readonly pid: number;
  readonly machine: string;
}

/** Where a process id means something: a host since its start, and on Linux a container of it. */
const MACHINE: string = [
  hostname(),
  quiet(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
  quiet(() => readlinkSync('/proc/self/ns/pid')),
].join(' ');

/** This process, as it is written into its files. */
export function ownerText(): string {
  const owner: Owner = { pid: process.pid, machine: MACHINE };
  return JSON.stringify(owner);
}

/**
 * Whether the process that wrote the file is known to be dead. One on another machine never is, nor one
 * whose file cannot be read.
 */
export async function isOwnerDead(file: string): Promise<boolean> {
  try {
    const { pid, machine } = JSON.parse(await readFile(file, 'utf8')) as Partial<Owner>;
    return machine === MACHINE && Number.isSafeInteger(pid) && !isAlive(pid as number);
  } catch {
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
  // A killed process whose parent has not noticed answers too: its state is Z.
  const stat = quiet(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return !/^\d+ \(.*\) [ZX] /s.test(stat);
}

function quiet(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
