import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open as openFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isSpoolFullError, isSpoolLockedError } from '../src/errors.js';
import { recordOf } from '../src/records.js';
import { Spool, type SpoolFiles } from '../src/spool.js';
import { frameOf, MAGIC, scan } from '../src/spool-frames.js';
import { decodeSend, encodeSend } from '../src/spool-record.js';

let directory: string;
const spools: Spool[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'outlast-spool-'));
});

afterEach(async () => {
  for (const spool of spools.splice(0)) await spool.close();
  rmSync(directory, { recursive: true, force: true });
});

async function opened(options: Partial<SpoolFiles> = {}): Promise<Spool> {
  const spool = await Spool.open({ directory, maxBytes: 1e8, sync: false, ...options });
  spools.push(spool);
  return spool;
}

/** As the process that dies: nothing is tidied up. */
async function crash(): Promise<void> {
  const spool = spools.pop() as unknown as {
    segments: { close: () => Promise<void> }[];
    unlock: () => Promise<void>;
  };
  for (const segment of spool.segments) await segment.close();
  await spool.unlock();
}

async function all(spool: Spool): Promise<string[]> {
  const found: string[] = [];
  while (!spool.isRead) for (const { payload } of await spool.read()) found.push(`${payload}`);
  return found;
}

async function fill(spool: Spool, texts: readonly string[]): Promise<number[]> {
  return Promise.all(texts.map((text) => spool.append(Buffer.from(text))));
}

const segments = (): string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.spool'))
    .sort();
const first = (): string => join(directory, segments()[0] as string);

describe('a spool', () => {
  it('gives back what was put in, in order, and is empty when all of it is struck off', async () => {
    const spool = await opened({ sync: true });
    const texts = Array.from({ length: 50 }, (_, i) => `record ${i}`);
    const numbers = await fill(spool, texts);
    expect(numbers).toEqual(texts.map((_, i) => i));
    expect(await all(spool)).toEqual(texts);
    expect(spool.size).toBe(50);
    let emptied = false;
    void spool.emptied().then(() => {
      emptied = true;
    });
    for (const number of numbers.reverse()) {
      expect(emptied).toBe(false);
      spool.strikeOff(number);
    }
    await spool.emptied();
    expect([spool.size, spool.isEmpty, segments()]).toEqual([0, true, []]);
    expect(await fill(spool, ['next'])).toEqual([50]);
  });

  it('has after a crash what was not struck off, and not what was, in files of any size', async () => {
    const texts = Array.from({ length: 300 }, (_, i) => `${i}`.padEnd(100, 'x'));
    const spool = await opened({ segmentBytes: 2000 });
    for (let i = 0; i < 300; i += 10) await fill(spool, texts.slice(i, i + 10));
    expect(segments().length).toBeGreaterThan(10);
    await all(spool);
    for (let number = 0; number < 120; number++) spool.strikeOff(number);
    spool.strikeOff(200);
    await expect.poll(() => readFileSync(join(directory, 'done'), 'utf8')).toBe('120');
    await crash();
    const again = await opened({ segmentBytes: 2000 });
    // What was struck off behind one that was not is there again, in its place.
    expect(await all(again)).toEqual(texts.slice(120));
    expect(await fill(again, ['new'])).toEqual([300]);
  });

  it('does not give out what was struck off before it was read', async () => {
    const spool = await opened({ segmentBytes: 25 });
    for (const text of ['first', 'second', 'third', 'fourth']) await fill(spool, [text]);
    for (const number of [0, 1, 2]) spool.strikeOff(number);
    expect([spool.isDone(2), spool.isDone(3)]).toEqual([true, false]);
    expect(await all(spool)).toEqual(['fourth']);
    spool.strikeOff(3);
    expect(spool.isRead).toBe(true);
    await spool.emptied();
    await fill(spool, ['fifth']);
    spool.strikeOff(4);
    expect([await all(spool), spool.isRead]).toEqual([[], true]);
  });

  it('reads records that are larger than one read', async () => {
    const texts = ['a', 'b'.repeat(700_000), 'c', 'd'.repeat(300_000)];
    const spool = await opened();
    await fill(spool, texts);
    expect(await all(spool)).toEqual(texts);
  });

  it('loses only what was being written, wherever its last file is torn', async () => {
    const texts = ['first', 'second', 'the third one'];
    const whole = Buffer.concat([MAGIC, ...texts.map((text) => frameOf(Buffer.from(text)))]);
    const ends = texts.map((_, i) =>
      texts.slice(0, i + 1).reduce((sum, text) => sum + 8 + text.length, MAGIC.length),
    );
    for (let cut = 0; cut <= whole.length; cut++) {
      writeFileSync(join(directory, '0000000000000007.spool'), whole.subarray(0, cut));
      const spool = await opened();
      const kept = texts.slice(0, ends.filter((end) => end <= cut).length);
      expect(await all(spool), `cut at ${cut}`).toEqual(kept);
      // What is appended stands behind what was kept, and the torn bytes are gone.
      await fill(spool, ['later']);
      await crash();
      const again = await opened();
      expect(await all(again), `cut at ${cut}, then appended`).toEqual([...kept, 'later']);
      await again.close();
      spools.pop();
      for (const name of readdirSync(directory)) rmSync(join(directory, name));
    }
  });

  it('never gives out what has changed on the disk, whichever byte it is', () => {
    const texts = ['first', 'second', 'third'];
    const frames = texts.map((text) => frameOf(Buffer.from(text)));
    const whole = Buffer.concat([MAGIC, ...frames]);
    for (let at = MAGIC.length; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ 0x41;
      const found = scan(bytes)
        .places.filter((place) => place >= 0)
        .map((place) => `${bytes.subarray(place + 8, place + 8 + bytes.readUInt32BE(place))}`);
      expect(texts).toEqual(expect.arrayContaining(found));
      expect(found.length).toBeLessThan(3);
    }
  });

  it('passes over a record whose bytes have changed, counts it, and keeps the numbers of the others', async () => {
    const spool = await opened();
    await fill(spool, ['first', 'second', 'third', 'fourth']);
    spool.strikeOff(0);
    await expect.poll(() => readFileSync(join(directory, 'done'), 'utf8')).toBe('1');
    await crash();
    const bytes = readFileSync(first());
    bytes[bytes.indexOf('second')] = 0x53;
    writeFileSync(first(), bytes);
    const again = await opened();
    expect(await all(again)).toEqual(['third', 'fourth']);
    expect(again.damaged).toBe(1);
    again.strikeOff(2);
    again.strikeOff(3);
    await again.emptied();
  });

  it('goes on in the next file behind one whose bytes have changed', async () => {
    const spool = await opened({ segmentBytes: 25 });
    for (const text of ['first', 'second', 'third']) await fill(spool, [text]);
    await crash();
    expect(segments()).toHaveLength(2);
    const bytes = readFileSync(first());
    bytes.writeUInt32BE(0xffffffff, MAGIC.length);
    writeFileSync(first(), bytes);
    const again = await opened({ segmentBytes: 25 });
    expect(await all(again)).toEqual(['third']);
    expect(again.damaged).toBe(2);
    again.strikeOff(2);
    await again.emptied();
  });

  it('says that the disk is full, keeps what it had, and takes more when there is room', async () => {
    let left = 60;
    const open = async (path: string, flags: string, mode?: number): Promise<FileHandle> => {
      const handle = await openFile(path, flags, mode);
      const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<unknown>;
      handle.write = (async (bytes: Buffer, offset: number, length: number, at: number) => {
        if (length <= left) {
          left -= length;
          return write(bytes, offset, length, at);
        }
        if (left === 0) throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
        const some = left;
        left = 0;
        return write(bytes, offset, some, at);
      }) as unknown as typeof handle.write;
      return handle;
    };
    const spool = await opened({ open });
    await fill(spool, ['kept one', 'kept two']);
    const error = await spool.append(Buffer.from('x'.repeat(100))).catch((reason) => reason);
    expect(isSpoolFullError(error)).toBe(true);
    expect(error).toMatchObject({ cause: { code: 'ENOSPC' } });
    expect(error.message).toContain('ENOSPC');
    left = 1000;
    await fill(spool, ['later']);
    await crash();
    expect(await all(await opened())).toEqual(['kept one', 'kept two', 'later']);
  });

  it('knows how much it may hold', async () => {
    const spool = await opened({ maxBytes: 1000 });
    expect(spool.hasRoom(900)).toBe(true);
    const appended = fill(spool, ['x'.repeat(500)]);
    expect(spool.hasRoom(500)).toBe(false);
    await appended;
    expect(spool.hasRoom(500)).toBe(false);
    await all(spool);
    spool.strikeOff(0);
    await spool.emptied();
    expect(spool.hasRoom(900)).toBe(true);
  });

  it('belongs to one at a time, and to nobody after its process has died', async () => {
    const spool = await opened();
    const error = await opened().catch((reason) => reason);
    expect(isSpoolLockedError(error)).toBe(true);
    expect(error.message).toContain(`this process (${process.pid})`);
    await spool.close();
    spools.pop();
    const owner = JSON.stringify({ token: 't', host: (await import('node:os')).hostname() });
    const lock = (more: object): void =>
      writeFileSync(join(directory, 'lock'), JSON.stringify({ ...JSON.parse(owner), ...more }));
    // Our parent is alive.
    lock({ pid: process.ppid, began: '' });
    expect(isSpoolLockedError(await opened().catch((reason) => reason))).toBe(true);
    // Its number was given again, to a process that began at another time.
    if (process.platform === 'linux') {
      lock({ pid: process.ppid, began: '1' });
      await (await opened()).close();
      spools.pop();
    }
    lock({ pid: 2 ** 22 + 1, began: '' });
    await (await opened()).close();
    spools.pop();
    // On another machine, and it gave a sign of life just now.
    lock({ host: 'elsewhere.invalid', pid: 1, began: '' });
    expect(isSpoolLockedError(await opened().catch((reason) => reason))).toBe(true);
    writeFileSync(join(directory, 'lock'), 'not written to its en');
    await opened();
  });
});

describe('a send in the spool', () => {
  it('is what it was, byte by byte, with its ids, times and partitions', () => {
    const messages = [
      { key: 'k', value: 'wörld', headers: { a: 'x', b: Buffer.from([0, 255]), c: ['1', '2'] } },
      { key: Buffer.from([1, 2]), value: null, partition: 3, timestamp: '1600000000000' },
      { value: '' },
    ];
    const records = [
      {
        topic: 'of-ours',
        messages,
        records: messages.map((message) => recordOf('of-ours', message, 17e11, true)),
        firstIndex: 0,
      },
    ];
    const sent = { acks: -1, timeoutMs: 30_000, compression: 1, records };
    const payload = encodeSend(sent);
    const back = decodeSend(payload);
    expect(encodeSend(back)).toEqual(payload);
    expect(back).toMatchObject({ acks: -1, timeoutMs: 30_000, compression: 1 });
    const [one] = back.records;
    expect(one?.messages.map(({ key }) => key)).toEqual(['k', Buffer.from([1, 2]), null]);
    expect(one?.messages.map(({ partition }) => partition)).toEqual([undefined, 3, undefined]);
    expect(one?.records.map(({ bodyBytes }) => bodyBytes)).toEqual(
      records[0]?.records.map(({ bodyBytes }) => bodyBytes),
    );
    expect(one?.messages[0]?.headers).toMatchObject({
      a: Buffer.from('x'),
      c: [Buffer.from('1'), Buffer.from('2')],
      'x-message-id': expect.any(Buffer),
    });
    for (let cut = 0; cut < payload.length; cut++) {
      expect(() => decodeSend(payload.subarray(0, cut))).toThrow(RangeError);
    }
  });
});
