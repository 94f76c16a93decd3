import type { Command, RedisInternals } from './driver.js';

/** Of a command that was written to a connection, and of which the kernel took nothing. */
const REFUSED_AT_ONCE: unique symbol = Symbol('outlast.refusedAtOnce');

const RESET: ReadonlySet<string> = new Set(['EPIPE', 'ECONNRESET', 'ECONNABORTED']);

declare module './driver.js' {
  interface Command {
    [REFUSED_AT_ONCE]?: boolean;
  }
}

/**
 * Looks whether the write of a command that was just made was refused at once. Node sets `errored` before
 * `write()` returns only if the system call itself failed, and libuv makes that call such (`uv_try_write`)
 * that it fails only if not a byte was taken. With TLS a part may lie in buffers of its own: that proves
 * nothing.
 */
export function noteRefusedAtOnce(client: RedisInternals, command: Command): void {
  const { stream, commandQueue } = client;
  const error = stream?.errored as NodeJS.ErrnoException | null | undefined;
  if (!error || stream?.encrypted === true) return;
  if (error.syscall !== 'write' || !RESET.has(error.code ?? '')) return;
  const last = commandQueue.peekBack();
  if (last?.command !== command) return;
  command[REFUSED_AT_ONCE] = true;
  // All of a pipeline is one write.
  if (last.stream === undefined) return;
  for (let i = commandQueue.length - 2; i >= 0; i--) {
    const item = commandQueue.peekAt(i);
    if (item?.stream !== last.stream) break;
    item.command[REFUSED_AT_ONCE] = true;
  }
}

/** Whether a command whose connection is lost had never left this process; asked once a loss. */
export function takeRefusedAtOnce(command: Command): boolean {
  if (command[REFUSED_AT_ONCE] !== true) return false;
  command[REFUSED_AT_ONCE] = false;
  return true;
}
