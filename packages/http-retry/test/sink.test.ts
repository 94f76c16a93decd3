import type { FileHandle } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { Sink } from '../src/sink.js';

const MB = 1 << 20;

/** A file that takes what it is given when it is told to, all or a part of it. */
class Disk {
  readonly batches: string[] = [];
  readonly heard: unknown[] = [];
  closed = false;
  private waiting: ((most: number | Error) => void)[] = [];

  readonly handle = {
    writev: (pieces: Buffer[], position: number) => {
      const bytes = Buffer.concat(pieces);
      return new Promise((resolve, reject) => {
        this.waiting.push((most) => {
          if (most instanceof Error) return reject(most);
          const taken = bytes.subarray(0, most);
          this.batches.push(`${position}:${taken.length > 20 ? taken.length : taken}`);
          resolve({ bytesWritten: taken.length });
        });
      });
    },
    close: () => {
      this.closed = true;
    },
  } as unknown as FileHandle;

  readonly sink = new Sink(this.handle, 100, {
    onRoom: () => this.heard.push('room'),
    onError: (error) => this.heard.push(error),
  });

  /** The write under way ends. */
  async take(most: number | Error = Infinity): Promise<void> {
    this.waiting.shift()?.(most);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a sink', () => {
  it('writes in order, and in one batch what comes meanwhile', async () => {
    const disk = new Disk();
    for (const text of ['a', 'bc', 'def']) disk.sink.write(Buffer.from(text));
    await disk.take();
    await disk.take();
    await disk.sink.end();
    expect(disk.batches).toEqual(['100:a', '101:bcdef']);
    disk.sink.write(Buffer.from('g'));
    await disk.take();
    expect(disk.batches.at(-1)).toBe('106:g');
  });

  it('goes on after the part that a disk took', async () => {
    const disk = new Disk();
    disk.sink.write(Buffer.from('abc'));
    disk.sink.write(Buffer.from('de'));
    disk.sink.write(Buffer.from('fg'));
    for (const most of [2, 1, 3, 1]) await disk.take(most);
    await disk.sink.end();
    expect(disk.batches).toEqual(['100:ab', '102:c', '103:def', '106:g']);
  });

  it('says when it is enough, and when there is room again', async () => {
    const disk = new Disk();
    expect(disk.sink.write(Buffer.alloc(MB - 1))).toBe(true);
    expect(disk.sink.write(Buffer.alloc(2))).toBe(false);
    expect(disk.heard).toEqual([]);
    await disk.take();
    expect(disk.heard).toEqual(['room']);
    await disk.take();
    expect(disk.heard).toEqual(['room']);
  });

  it('tells of the first write that fails, writes no more, and leaves the file open', async () => {
    const disk = new Disk();
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    disk.sink.write(Buffer.from('a'));
    disk.sink.write(Buffer.from('b'));
    const ended = disk.sink.end().catch((error: unknown) => error);
    await disk.take(full);
    expect(await ended).toBe(full);
    expect(disk.sink.write(Buffer.from('c'))).toBe(false);
    await expect(disk.sink.end()).rejects.toBe(full);
    expect([disk.heard, disk.batches, disk.closed]).toEqual([[full], [], false]);
  });

  it('has nothing to wait for where nothing was written', async () => {
    await expect(new Disk().sink.end()).resolves.toBeUndefined();
  });
});
