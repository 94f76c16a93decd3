import type { QueueItem, RedisInternals } from './driver.js';

/**
 * Of a connection whose latest write was refused at once: the kernel took not a byte of it. Node says so by
 * `errored`, which it sets before `write()` returns only if the system call itself failed; libuv reports a
 * failure there only if nothing was written (`uv_try_write`). With TLS a part may lie in its own buffers.
 *
 * @returns what was in that write: the last command, or all of its pipeline
 */
export function refusedAtOnce(client: RedisInternals): readonly QueueItem[] {
  const { stream, commandQueue } = client;
  if (stream === undefined || stream.encrypted === true || !stream.errored) return [];
  const last = commandQueue.peekBack();
  if (last === undefined) return [];
  const items: QueueItem[] = [];
  for (let i = commandQueue.length - 1; i >= 0; i--) {
    const item = commandQueue.peekAt(i) as QueueItem;
    if (item !== last && (last.stream === undefined || item.stream !== last.stream)) break;
    items.unshift(item);
  }
  return items;
}
