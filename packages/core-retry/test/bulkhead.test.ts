import { getEventListeners } from 'node:events';
import { Bulkhead, isBulkheadFullError, isOptionError } from '@outlast/core-retry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rejection, settled, turn } from './helpers.js';

/** Runs until it is told to end, and says that it has begun. */
function jobs(bulkhead: Bulkhead) {
  const begun: string[] = [];
  const start = (name: string, signal?: AbortSignal) => {
    let end: (error?: unknown) => void = () => {};
    const promise = settled(
      bulkhead.execute(
        () =>
          new Promise<string>((resolve, reject) => {
            begun.push(name);
            end = (error) => (error === undefined ? resolve(name) : reject(error));
          }),
        ...(signal === undefined ? [] : [{ signal }]),
      ),
    );
    return { promise, end: (error?: unknown) => end(error) };
  };
  return { begun, start };
}

const EMPTY = { running: 0, queued: 0 };

describe('Bulkhead', () => {
  it('runs so many at a time, and queues the next in their order', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 2, maxQueued: 2 });
    const { begun, start } = jobs(bulkhead);
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => start(name));
    expect(bulkhead.status()).toEqual({
      running: 2,
      queued: 2,
      maxConcurrent: 2,
      maxQueued: 2,
      refused: 0,
    });
    b?.end();
    await turn();
    expect(begun).toEqual(['a', 'b', 'c']);
    c?.end(new Error('failed'));
    await turn();
    expect(begun).toEqual(['a', 'b', 'c', 'd']);
    a?.end();
    d?.end();
    expect(await c?.promise).toMatchObject({ ok: false, error: { message: 'failed' } });
    expect(await d?.promise).toEqual({ ok: true, value: 'd' });
    expect(bulkhead.status()).toMatchObject(EMPTY);
  });

  it('without a queue refuses at once, and counts it', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1 });
    const { start } = jobs(bulkhead);
    const held = start('held');
    for (let i = 0; i < 3; i++) {
      const error = await rejection(bulkhead.execute(() => 'v'));
      expect(isBulkheadFullError(error)).toBe(true);
      expect(String(error)).toMatch(/1 operations are under way and 0 wait/);
    }
    held.end();
    await held.promise;
    expect(bulkhead.status()).toMatchObject({ ...EMPTY, refused: 3 });
    expect(await bulkhead.execute(() => 'v')).toBe('v');
  });

  it('gives the slot back after a throw before the first await', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1 });
    const work = () => {
      throw new Error('sync');
    };
    expect(await rejection(bulkhead.execute(work))).toMatchObject({ message: 'sync' });
    expect(bulkhead.status()).toMatchObject(EMPTY);
  });

  it('3.27 an abort in the queue settles at once, and does not starve those behind (cockatiel#112)', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1, maxQueued: 3 });
    const { begun, start } = jobs(bulkhead);
    const controller = new AbortController();
    const held = start('held');
    const gone = [start('gone', controller.signal), start('gone too', controller.signal)];
    const behind = start('behind');
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    controller.abort('reason');
    expect(bulkhead.status()).toMatchObject({ running: 1, queued: 1 });
    for (const { promise } of gone) expect(await promise).toEqual({ ok: false, error: 'reason' });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    // Its place in the queue is free for another.
    const last = start('last');
    held.end();
    await turn();
    behind.end();
    await turn();
    expect(begun).toEqual(['held', 'behind', 'last']);
    last.end();
    await turn();
    expect(bulkhead.status()).toMatchObject(EMPTY);
  });

  it('3.2 an abort before it begins calls nothing', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1 });
    let called = false;
    const work = () => {
      called = true;
    };
    const error = await rejection(bulkhead.execute(work, { signal: AbortSignal.abort('gone') }));
    expect([error, called]).toEqual(['gone', false]);
    expect(bulkhead.status()).toMatchObject(EMPTY);
    await expect(bulkhead.enter(AbortSignal.abort('gone'))).rejects.toBe('gone');
  });

  it('3.2 an abort between the slot and the call calls nothing, and gives the slot on', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1, maxQueued: 2 });
    const { begun, start } = jobs(bulkhead);
    const controller = new AbortController();
    await bulkhead.enter();
    const gone = start('gone', controller.signal);
    const behind = start('behind');
    bulkhead.leave();
    controller.abort('reason');
    expect(await gone.promise).toEqual({ ok: false, error: 'reason' });
    await turn();
    expect(begun).toEqual(['behind']);
    behind.end();
    await turn();
    expect(bulkhead.status()).toMatchObject(EMPTY);
  });

  it('3.3 an abort after the call is the affair of the work', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1 });
    const { start } = jobs(bulkhead);
    const controller = new AbortController();
    const job = start('job', controller.signal);
    controller.abort();
    job.end();
    expect(await job.promise).toEqual({ ok: true, value: 'job' });
  });

  it.each([
    [{}, 'Bulkhead.maxConcurrent'],
    [{ maxConcurrent: 0 }, 'Bulkhead.maxConcurrent'],
    [{ maxConcurrent: 1.5 }, 'Bulkhead.maxConcurrent'],
    [{ maxConcurrent: Infinity }, 'Bulkhead.maxConcurrent'],
    [{ maxConcurrent: 1, maxQueued: -1 }, 'Bulkhead.maxQueued'],
    [{ maxConcurrent: 1, maxQueue: 1 }, 'Bulkhead.maxQueue'],
    [null, 'Bulkhead'],
  ])('refuses %j', (options, option) => {
    try {
      new Bulkhead(options as never);
    } catch (error) {
      expect(isOptionError(error)).toBe(true);
      expect(error).toMatchObject({ option });
      return;
    }
    throw new Error('expected it to throw');
  });

  it('refuses what is no signal, and calls nothing', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1 });
    const error = await rejection(bulkhead.execute(() => 'v', { signal: 'now' as never }));
    expect(isOptionError(error)).toBe(true);
    expect(bulkhead.status()).toMatchObject(EMPTY);
  });

  it('3.27 never runs more than allowed, and never leaves a slot unused while somebody waits', async () => {
    type Move = readonly ['start' | 'end' | 'abort', number];
    const move = fc.tuple(
      fc.constantFrom<Move[0]>('start', 'start', 'end', 'abort'),
      fc.nat({ max: 9 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 0, max: 3 }),
        fc.array(move, { maxLength: 30 }),
        async (maxConcurrent, maxQueued, moves) => {
          const bulkhead = new Bulkhead({ maxConcurrent, maxQueued });
          let running = 0;
          const calls: { end: () => void; abort: () => void; promise: Promise<unknown> }[] = [];
          const start = () => {
            const controller = new AbortController();
            let end = () => {};
            const work = () => {
              running += 1;
              return new Promise<void>((resolve) => {
                end = () => {
                  running -= 1;
                  end = () => {};
                  resolve();
                };
              });
            };
            const promise = settled(bulkhead.execute(work, { signal: controller.signal }));
            calls.push({ end: () => end(), abort: () => controller.abort(), promise });
          };
          for (const [what, which] of moves) {
            if (what === 'start') start();
            else calls[which % Math.max(1, calls.length)]?.[what]();
            await turn();
            const status = bulkhead.status();
            expect(status.running).toBe(running);
            expect(running).toBeLessThanOrEqual(maxConcurrent);
            expect(status.queued).toBeLessThanOrEqual(maxQueued);
            if (status.queued > 0) expect(running).toBe(maxConcurrent);
          }
          while (bulkhead.status().running > 0) {
            for (const call of calls) call.end();
            await turn();
          }
          await Promise.all(calls.map((call) => call.promise));
          expect(bulkhead.status()).toMatchObject(EMPTY);
        },
      ),
      { numRuns: 200 },
    );
  }, 60_000);
});
