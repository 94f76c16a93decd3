import { isOptionError } from '@outlast/core-retry';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { Transaction } from '../src/transaction.js';

type Answer = unknown;

/** A client that notes what it is told, and answers each text by a script. */
function scripted(script: (text: string) => Answer = () => undefined) {
  const told: string[] = [];
  const client = {
    query(config: string | { text: string }, ...rest: unknown[]): unknown {
      const text = typeof config === 'string' ? config : config.text;
      told.push(text);
      const answer = script(text);
      const callback = rest.find((one) => typeof one === 'function') as
        | ((error: unknown, result?: unknown) => void)
        | undefined;
      if (callback !== undefined) {
        if (answer instanceof Error) process.nextTick(callback, answer);
        else process.nextTick(callback, undefined, { rows: [] });
        return undefined;
      }
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve({ rows: [] });
    },
  };
  return { told, tx: new Transaction(client as unknown as pg.ClientBase) };
}

const serverError = (code: string, severity = 'ERROR'): Error =>
  Object.assign(new Error(code), { code, severity });

const failing = (when: string, error: Error) => (text: string) =>
  text === when ? error : undefined;

describe('a Transaction', () => {
  it.each([
    ['a serialization failure', serverError('40001')],
    ['a deadlock', serverError('40P01')],
    ['the end of its session', serverError('57P01', 'FATAL')],
    ['a lost connection', Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })],
    ['an error without a code', new Error('Connection terminated unexpectedly')],
  ])('sends nothing more after %s, though it was caught', async (_, error) => {
    const { told, tx } = scripted(failing('bad', error));
    await expect(tx.query('bad')).rejects.toBe(error);
    await expect(tx.query('more')).rejects.toBe(error);
    await new Promise<void>((resolve) => {
      tx.query('and more', (reason) => {
        expect(reason).toBe(error);
        resolve();
      });
    });
    await expect(tx.transaction(() => 1)).rejects.toBe(error);
    expect(told).toEqual(['bad']);
    expect(tx.poison).toEqual({ error });
    expect(tx.threw(error)).toBe(true);
  });

  it.each(['23505', '55P03', '42601', '22012'])('goes on after %s', async (code) => {
    const error = serverError(code);
    const { told, tx } = scripted(failing('bad', error));
    await expect(tx.query('bad')).rejects.toBe(error);
    await tx.query('more');
    expect(told).toEqual(['bad', 'more']);
    expect(tx.poison).toBeUndefined();
    expect(tx.abortedBy).toBe(error);
  });

  it('remembers the error that aborted it, not those that followed from it', async () => {
    const first = serverError('23505');
    const second = serverError('25P02');
    const { tx } = scripted((text) => (text === 'first' ? first : second));
    await expect(tx.query('first')).rejects.toBe(first);
    await expect(tx.query('second')).rejects.toBe(second);
    expect(tx.abortedBy).toBe(first);
  });

  it('hears of errors that go to callbacks, too', async () => {
    const error = serverError('40001');
    const { tx } = scripted(() => error);
    await new Promise<void>((resolve) => {
      tx.query('select $1', [1], () => resolve());
    });
    expect(tx.poison).toEqual({ error });
  });

  it('makes nested transactions of savepoints, with a name for each depth', async () => {
    const { told, tx } = scripted();
    await tx.transaction(async (inner) => {
      await inner.query('a');
      await inner.transaction((innermost) => innermost.query('b'));
      await inner.transaction((innermost) => innermost.query('c'));
    });
    expect(told).toEqual([
      'SAVEPOINT outlast_1',
      'a',
      'SAVEPOINT outlast_2',
      'b',
      'RELEASE SAVEPOINT outlast_2',
      'SAVEPOINT outlast_2',
      'c',
      'RELEASE SAVEPOINT outlast_2',
      'RELEASE SAVEPOINT outlast_1',
    ]);
  });

  it('rolls a savepoint back when its callback throws, and is sound again', async () => {
    const error = serverError('23505');
    const { told, tx } = scripted(failing('bad', error));
    await expect(tx.transaction((inner) => inner.query('bad'))).rejects.toBe(error);
    expect(told).toEqual([
      'SAVEPOINT outlast_1',
      'bad',
      'ROLLBACK TO SAVEPOINT outlast_1',
      'RELEASE SAVEPOINT outlast_1',
    ]);
    expect(tx.abortedBy).toBeUndefined();
  });

  it('does not roll back to a savepoint where nothing is left of the transaction', async () => {
    const error = serverError('40P01');
    const { told, tx } = scripted(failing('bad', error));
    const nested = tx.transaction(async (inner) => {
      await inner.query('bad').catch(() => {});
      return 'swallowed';
    });
    await expect(nested).rejects.toBe(error);
    expect(told).toEqual(['SAVEPOINT outlast_1', 'bad']);
  });

  it('refuses to be released, and to be used when it is over', async () => {
    const { told, tx } = scripted();
    expect(() => tx.release()).toThrow(/releases the client/);
    tx.end();
    const late = tx.query('late').catch((error: unknown) => error);
    expect(isOptionError(await late)).toBe(true);
    expect(told).toEqual([]);
    expect(tx.poison).toBeUndefined();
  });

  it('tells a callback that is still running why it was given up', async () => {
    const { told, tx } = scripted();
    const reason = new Error('time is up');
    tx.end(reason);
    await expect(tx.query('late')).rejects.toBe(reason);
    expect(told).toEqual([]);
    // It is ours, not the driver's.
    expect(tx.threw(reason)).toBe(false);
  });

  it.each(['COMMIT', 'rollback', 'begin', `prepare transaction 'x'`, 'select 1; commit'])(
    'does not send %s',
    async (text) => {
      const { told, tx } = scripted();
      await expect(tx.query(text)).rejects.toThrow(/must not begin or end/);
      await expect(tx.query({ text })).rejects.toThrow(/must not begin or end/);
      expect(told).toEqual([]);
    },
  );
});
