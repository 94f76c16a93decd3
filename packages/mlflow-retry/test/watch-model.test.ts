import { ClosedError } from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import type { FetchedModel } from '../src/fetch-model-options.js';
import { type WatchOptions, watchModel } from '../src/watch-model.js';

const URI = 'models:/churn@champion';

function model(path: string): FetchedModel {
  return { path, name: 'churn', version: path, source: 's', stale: false };
}

/** A watch whose looks find these, one after the other; the last for ever. */
function watching(
  found: readonly (FetchedModel | Error)[],
  options: WatchOptions = {},
  random = 0.5,
) {
  const clock = new ManualClock();
  const looks: number[] = [];
  const seen: [string, string | undefined][] = [];
  const errors: unknown[] = [];
  const client = new AbortController();
  const watch = watchModel(
    async () => {
      looks.push(clock.now());
      const next = found[Math.min(looks.length, found.length) - 1];
      if (next instanceof Error) throw next;
      return next as FetchedModel;
    },
    URI,
    (now, before) => {
      seen.push([now.path, before?.path]);
    },
    {
      options: { intervalMs: 1_000, onError: (error) => errors.push(error), ...options },
      clock,
      random: () => random,
      closing: client.signal,
    },
  );
  return { clock, looks, seen, errors, watch, client };
}

async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) await clock.advance(100);
}

describe('a watch', () => {
  it('tells of each model once', async () => {
    const { clock, seen, looks, watch } = watching([
      model('a'),
      model('a'),
      model('b'),
      model('b'),
    ]);
    await pass(clock, 5_500);
    expect(seen).toEqual([
      ['a', undefined],
      ['b', 'a'],
    ]);
    expect(looks).toHaveLength(6);
    watch.close();
    await pass(clock, 5_000);
    expect(looks).toHaveLength(6);
  });

  it.each([
    [0, 900],
    [0.5, 1_000],
    [1, 1_100],
  ])('looks again after the interval ±10 %% (random %d)', async (random, ms) => {
    const { clock, looks, watch } = watching([model('a')], {}, random);
    await pass(clock, 1_500);
    expect((looks[1] as number) - (looks[0] as number)).toBe(ms);
    watch.close();
  });

  it('goes on after what fails, and says so', async () => {
    const broken = new Error('broken');
    const { clock, seen, errors, watch } = watching([broken, model('a')]);
    await pass(clock, 2_500);
    expect(errors).toEqual([broken]);
    expect(seen).toEqual([['a', undefined]]);
    watch.close();
  });

  it('ends with the signal, and with the client', async () => {
    const controller = new AbortController();
    const one = watching([model('a')], { signal: controller.signal });
    await pass(one.clock, 1_500);
    controller.abort();
    await pass(one.clock, 5_000);
    expect(one.looks).toHaveLength(2);
    const closed = new ClosedError('The client');
    const two = watching([closed]);
    await pass(two.clock, 5_000);
    expect(two.looks).toHaveLength(1);
    expect(two.errors).toEqual([closed]);
    const three = watching([model('a')], { signal: AbortSignal.abort() });
    await pass(three.clock, 5_000);
    expect(three.looks).toHaveLength(0);
    const four = watching([model('a')]);
    await pass(four.clock, 500);
    expect(four.clock.pending).toBe(1);
    // Not with its next look, which might be an hour away and would keep the process until then.
    four.client.abort();
    expect(four.clock.pending).toBe(0);
  });

  it.each<[string, unknown, object]>([
    ['models:/churn', () => {}, {}],
    [URI, undefined, {}],
    [URI, () => {}, { intervalMs: 0 }],
    [URI, () => {}, { interval: 5 }],
    [URI, () => {}, { onError: 1 }],
    [URI, () => {}, { maxAgeMs: -1 }],
  ])('refuses %s, %j, %j', (uri, listener, options) => {
    expect(() =>
      watchModel(async () => model('a'), uri, listener as () => void, {
        options,
        clock: new ManualClock(),
        random: Math.random,
        closing: new AbortController().signal,
      }),
    ).toThrow(/uri|onChange|intervalMs|interval|onError|maxAgeMs/);
  });
});
