import { describe, expect, it } from 'vitest';
import { forgetPrepared, preparedName, stalePrepared, unnamed } from '../src/prepared.js';

const failure = (code: string, routine = ''): object => ({
  severity: 'ERROR',
  code,
  routine,
  message: 'x',
});

describe('a prepared statement that failed for its name', () => {
  it.each([
    [failure('26000'), 'lost'],
    [failure('42P05'), 'taken'],
    [failure('0A000', 'RevalidateCachedQuery'), 'changed'],
    // a feature that is not supported is the caller's affair
    [failure('0A000', 'transformStmt'), undefined],
    [failure('23505'), undefined],
    [new Error('26000'), undefined],
    [{ code: '26000' }, undefined],
    [undefined, undefined],
  ])('%o is %s', (error, kind) => {
    expect(stalePrepared(error)).toBe(kind);
  });

  it('has a name only if it is a text', () => {
    expect(preparedName({ name: 'a', text: 'select 1' })).toBe('a');
    for (const config of [{ name: '' }, { name: 7 }, {}, 'select 1', undefined, null]) {
      expect(preparedName(config)).toBeUndefined();
    }
  });

  it('runs without it, and the caller’s object stays as it is', () => {
    const config = Object.freeze({ name: 'a', text: 'select $1', values: [1], rowMode: 'array' });
    const copy = unnamed(config) as typeof config & { callback?: () => void };
    expect(copy.name).toBeUndefined();
    expect([copy.text, copy.values, copy.rowMode]).toEqual(['select $1', [1], 'array']);
    expect(config.name).toBe('a');
  });

  it('is forgotten by the driver; only one of another shape costs the connection', () => {
    const client = () =>
      ({ connection: { parsedStatements: { a: 'select 1', b: 'select 2' } } }) as never;
    for (const [error, leaves] of [
      [failure('26000'), false],
      [failure('42P05'), false],
      [failure('0A000', 'RevalidateCachedQuery'), true],
    ] as const) {
      const one = client();
      expect(forgetPrepared(one, error, 'a')).toBe(leaves);
      expect(one).toEqual({ connection: { parsedStatements: { b: 'select 2' } } });
    }
    const one = client();
    expect(forgetPrepared(one, failure('42601'), 'a')).toBe(false);
    expect(one).toEqual(client());
    expect(forgetPrepared({} as never, failure('26000'), 'a')).toBe(false);
  });
});
