import { isOptionError } from '@outlast/core-retry';
import { afterAll, describe, expect, it } from 'vitest';
import { type Batch, batches } from '../src/batches.js';
import { MlflowClient } from '../src/index.js';
import { checkName, proxiedPath } from '../src/upload.js';

const client = new MlflowClient({ trackingUri: 'http://127.0.0.1:1', retry: { maxAttempts: 1 } });
afterAll(() => client.close());
// biome-ignore lint/suspicious/noExplicitAny: what a program without types may do
const any = client as any;

describe('bad input', () => {
  it.each([
    ['createRun without an experiment', () => any.createRun()],
    ['a number for a run id', () => any.getRun(7)],
    ['an empty name', () => client.getRegisteredModel('')],
    ['a version that is none', () => client.getModelVersion('m', '1.0')],
    ['a version of another kind', () => client.getModelVersion('m', -1)],
    ['an option that is misspelled', () => any.createRun('0', { runname: 'x' })],
    ['options that are none', () => any.createRun('0', 'x')],
    ['an option that a read does not have', () => any.getRun('r', { retries: 3 })],
    ['one experiment that is no list', () => any.searchRuns('0')],
    ['a page of nothing', () => client.searchRuns(['0'], { maxResults: 0 })],
    ['a tag that is an object', () => any.createRun('0', { tags: { a: {} } })],
    ['tags that are a list', () => any.createRun('0', { tags: [] })],
    ['a metric that is a text', () => any.logMetric('r', 'k', '1')],
    ['metrics that are an object', () => any.logBatch('r', { metrics: {} })],
    ['a metric without a name', () => any.logBatch('r', { metrics: [{ value: 1 }] })],
  ])('%s rejects with an OptionError', async (_, call) => {
    const error = await Promise.resolve()
      .then(call)
      .catch((thrown: unknown) => thrown);
    expect(isOptionError(error)).toBe(true);
  });

  it('names the option, and the right one', async () => {
    const error = await any.createRun('0', { runname: 'x' }).catch((thrown: unknown) => thrown);
    expect(error.message).toBe('createRun(runname) is not an option. Did you mean runName?');
  });

  it.each(['../x', '/x', 'a//b', 'a/./b', 'a#b', 'a\\b', 'x%41.txt', 'a\0b'])(
    'no artifact is called %j',
    (name) => {
      expect(() => checkName('logText', name)).toThrow(/artifact path/);
    },
  );

  it.each(['a b/c+d?.txt', '100%.txt', 'ü/é.bin', 'a&b=c;d:e'])('but %j may be', (name) => {
    expect(() => checkName('logText', name)).not.toThrow();
  });
});

describe('where artifacts are kept', () => {
  it('is served by the tracking server, or said to be elsewhere', () => {
    const origin = 'http://h:5000';
    expect(proxiedPath('mlflow-artifacts:/0/r/artifacts', origin)).toBe('0/r/artifacts');
    expect(proxiedPath('mlflow-artifacts://h:5000/0/r', origin)).toBe('0/r');
    expect(() => proxiedPath('mlflow-artifacts://other:1/0/r', origin)).toThrow(/other/);
    expect(() => proxiedPath('s3://bucket/x', origin)).toThrow(/--serve-artifacts/);
  });
});

describe('batches', () => {
  const metric = (step: number) => ({ key: 'm', value: step, timestamp: 1, step });
  const param = (n: number) => ({ key: `p${n}`, value: 'v' });
  const list = <T>(length: number, make: (n: number) => T): T[] =>
    Array.from({ length }, (_, n) => make(n));

  it('hold what the server takes, and lose nothing', () => {
    const all: Batch = {
      metrics: list(2500, metric),
      params: list(250, param),
      tags: list(30, param),
    };
    const found = batches(all);
    for (const { metrics, params, tags } of found) {
      expect(params.length).toBeLessThanOrEqual(100);
      expect(tags.length).toBeLessThanOrEqual(100);
      expect(metrics.length + params.length + tags.length).toBeLessThanOrEqual(1000);
    }
    expect(found.flatMap(({ metrics }) => metrics)).toEqual(all.metrics);
    expect(found.flatMap(({ params }) => params)).toEqual(all.params);
    expect(found.flatMap(({ tags }) => tags)).toEqual(all.tags);
    expect(found.length).toBe(3);
    expect(batches({ metrics: [], params: [], tags: [] })).toEqual([]);
  });

  it('hold no more bytes than the server takes', () => {
    const params = list(50, (n) => ({ key: `p${n}`, value: 'ü'.repeat(6000) }));
    const found = batches({ metrics: [], params, tags: [] });
    expect(found.length).toBeGreaterThan(1);
    for (const one of found) expect(JSON.stringify(one).length).toBeLessThan(1_000_000);
  });
});
