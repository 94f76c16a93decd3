import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Message } from 'kafkajs';
import { frameOf, MAGIC, sizeAt } from './spool-frames.js';
import { decodeSend } from './spool-record.js';

const FILE = 'refused';

/** What the brokers refused after it had come out of the spool: as `sendBatch` takes it. */
export interface RefusedSend {
  readonly acks: number;
  readonly timeout: number;
  readonly compression: number;
  readonly topicMessages: { readonly topic: string; readonly messages: Message[] }[];
}

/** Puts a send where nothing is published from, in the spool's folder; durable when it resolves. */
export async function keepRefused(directory: string, payload: Buffer): Promise<void> {
  const handle = await open(join(directory, FILE), 'a', 0o600);
  try {
    const { size } = await handle.stat();
    await handle.write(Buffer.concat([size === 0 ? MAGIC : Buffer.alloc(0), frameOf(payload)]));
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/**
 * What the brokers refused of a spool, oldest first: its `send` had resolved, so it is kept in the file `refused`
 * of the folder until you remove that file.
 */
export async function refusedSends(directory: string): Promise<RefusedSend[]> {
  let bytes: Buffer;
  try {
    bytes = await readFile(join(directory, FILE));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const found: RefusedSend[] = [];
  let at = MAGIC.length;
  for (let size = sizeAt(bytes, at); size !== undefined; size = sizeAt(bytes, at)) {
    const { acks, timeoutMs, compression, records } = decodeSend(bytes.subarray(at + 8, at + size));
    found.push({
      acks,
      timeout: timeoutMs,
      compression,
      topicMessages: records.map(({ topic, messages }) => ({ topic, messages: [...messages] })),
    });
    at += size;
  }
  return found;
}
