import type { QueryResult } from 'pg';
import { describe, expect, it } from 'vitest';
import {
  type Ask,
  type Asker,
  judge,
  type Life,
  resolveCommit,
  type TrackedTransaction,
} from '../src/resolve.js';

const FACTS = {
  system: '7',
  timeline: '00000001',
  started: '100.5',
  statsReset: '100.1',
  noted: 1000,
};
const LOST: TrackedTransaction = { xid: '725', kind: 'xid8', facts: FACTS, lostAtSerial: 4 };

type Status = 'committed' | 'aborted' | 'in progress' | null;

describe('judge', () => {
  // One row a situation: life of the server, next xid of its checkpoint, status → verdict.
  const table: readonly [Life, string, Status, string][] = [
    ['same', '0:700', 'committed', 'committed'],
    ['same', '0:700', 'aborted', 'aborted'],
    ['same', '0:700', 'in progress', 'in progress'],
    ['same', '0:700', null, 'unknown'],
    // Never flushed, whatever became of whoever has the number now.
    ['restarted', '0:725', 'committed', 'aborted'],
    ['restarted', '0:725', 'in progress', 'aborted'],
    ['restarted', '0:725', null, 'aborted'],
    ['restarted', '0:700', 'committed', 'aborted'],
    ['restarted', '0:726', 'committed', 'committed'],
    ['restarted', '0:726', 'aborted', 'aborted'],
    ['restarted', '0:726', 'in progress', 'unknown'],
    ['restarted', '0:726', null, 'unknown'],
    // A later epoch is above every number of an earlier one.
    ['restarted', '1:3', 'committed', 'committed'],
    ['crashed', '0:900', 'committed', 'unknown'],
    ['crashed', '0:900', 'in progress', 'unknown'],
    ['crashed', '0:900', 'aborted', 'aborted'],
    ['crashed', '0:900', null, 'unknown'],
    // Below no counter of a later life: it was never durable, however many lives there were.
    ['crashed', '0:725', 'committed', 'aborted'],
    // Perhaps it crashed, perhaps somebody reset the statistics: only what both would mean.
    ['doubtful', '0:725', 'committed', 'unknown'],
    ['doubtful', '0:900', 'committed', 'unknown'],
    ['doubtful', '0:725', 'in progress', 'unknown'],
    ['doubtful', '0:725', null, 'unknown'],
    ['doubtful', '0:725', 'aborted', 'aborted'],
    ['stopped', '0:900', 'committed', 'committed'],
    ['stopped', '0:700', 'committed', 'committed'],
    ['stopped', '0:900', 'aborted', 'aborted'],
    ['stopped', '0:900', 'in progress', 'unknown'],
    ['stopped', '0:900', null, 'unknown'],
    ['other', '0:900', 'committed', 'unknown'],
    ['other', '0:900', 'aborted', 'unknown'],
    ['other', '0:900', null, 'unknown'],
  ];
  it.each(table)('%s life, next xid %s, status %s: %s', (life, nextXid, status, expected) => {
    const verdict = judge({ xid: '725' }, { status, nextXid, recovering: false }, life);
    expect(typeof verdict === 'string' ? verdict : 'unknown').toBe(expected);
  });

  it('believes nothing of a standby', () => {
    const answer = { status: 'aborted', nextXid: '0:1', recovering: true } as const;
    expect(judge({ xid: '725' }, answer, 'same')).toEqual({
      unknown: 'the server that answers is a standby',
    });
  });

  it('compares numbers beyond 32 bits with their epoch', () => {
    const answer = { status: 'committed', nextXid: '2:10', recovering: false } as const;
    expect(judge({ xid: String(2n * 2n ** 32n + 9n) }, answer, 'restarted')).toBe('committed');
    expect(judge({ xid: String(2n * 2n ** 32n + 10n) }, answer, 'restarted')).toBe('aborted');
  });
});

describe('resolveCommit', () => {
  function server(answers: readonly object[]): {
    ask: Ask;
    asked: { text: string; values: readonly unknown[] }[];
  } {
    const left = [...answers];
    const asked: { text: string; values: readonly unknown[] }[] = [];
    const ask: Ask = async (text, values) => {
      asked.push({ text, values });
      const row = text.includes('pg_terminate_backend') ? {} : left.shift();
      return { rows: [row] } as unknown as QueryResult;
    };
    return { ask, asked };
  }
  const asker = (ask: Ask, serial: number, processID = 1, openedAt: number[] = []): Asker => ({
    ask,
    serial,
    processID,
    now: () => 10_000,
    openedBetween: (_serial, until) => openedAt.some((at) => at < until),
  });
  const base = {
    ...FACTS,
    pid: 77,
    aliveMs: 300,
    checkpointAt: 900,
    recovering: false,
    fresh: false,
    nextXid: '0:700',
  };
  const noWait = async (): Promise<void> => {};

  it('ends the backend while it is in progress in the same life, and waits for the status', async () => {
    const { ask, asked } = server([
      { ...base, status: 'in progress' },
      { ...base, status: 'in progress' },
      { ...base, status: 'aborted' },
    ]);
    const pauses: number[] = [];
    const wait = async (ms: number): Promise<void> => void pauses.push(ms);
    expect(await resolveCommit(LOST, asker(ask, 9), wait)).toBe('aborted');
    const ended = asked.filter(({ text }) => text.includes('pg_terminate_backend'));
    expect(ended.map(({ values }) => values)).toEqual([['725'], ['725']]);
    expect(pauses).toEqual([20, 50]);
  });

  it('never ends a backend in another life: the number may be somebody else’s by now', async () => {
    const { ask, asked } = server([{ ...base, started: '200', status: 'in progress' }]);
    expect(await resolveCommit(LOST, asker(ask, 9), noWait)).toHaveProperty('unknown');
    expect(asked).toHaveLength(1);
  });

  it('takes a connection from before the loss as proof that nothing crashed', async () => {
    const answer = { ...base, statsReset: null, status: 'committed' };
    const on = (serial: number, processID: number): Promise<unknown> =>
      resolveCommit(LOST, asker(server([answer]).ask, serial, processID), noWait);
    expect(await on(4, 77)).toBe('committed');
    expect(await on(5, 77)).toHaveProperty('unknown');
    // A pooler's connection outlives the server behind it.
    expect(await on(4, 12)).toHaveProperty('unknown');
  });

  it('takes a fresh checkpoint for a crash that the postmaster survived, and a bare reset for none', async () => {
    const reset = { ...base, statsReset: '150', status: 'committed' };
    const on = (answer: object): Promise<unknown> =>
      resolveCommit(LOST, asker(server([answer]).ask, 9), noWait);
    // Below no counter of the checkpoint: in the same life that would be quite usual.
    expect(await on(reset)).toHaveProperty('unknown');
    expect(await on({ ...reset, fresh: true })).toHaveProperty('unknown');
    expect(await on({ ...reset, fresh: true, checkpointAt: 1001 })).toBe('aborted');
    expect(await on({ ...reset, fresh: true, checkpointAt: 1001, nextXid: '0:726' })).toBe(
      'committed',
    );
  });

  it.each([
    ['another system', { system: '8' }],
    ['another timeline', { timeline: '00000002' }],
  ])('believes nothing of %s', async (_name, difference) => {
    const { ask } = server([{ ...base, ...difference, status: 'committed' }]);
    expect(await resolveCommit(LOST, asker(ask, 3), noWait)).toHaveProperty('unknown');
  });

  it('believes a clean restart, which keeps the statistics, even after a later checkpoint', async () => {
    const answer = { ...base, started: '200', status: 'committed', nextXid: '0:900' };
    expect(await resolveCommit(LOST, asker(server([answer]).ask, 9), noWait)).toBe('committed');
  });

  it('does not believe the checkpoint of a second crash: the number may be of the life in between', async () => {
    const answer = {
      ...base,
      started: '200',
      statsReset: '200',
      fresh: true,
      nextXid: '0:900',
      status: 'committed',
    };
    const on = (openedAt: number[]): Promise<unknown> =>
      resolveCommit(LOST, asker(server([answer]).ask, 9, 1, openedAt), noWait);
    // It began at 9 700; what was opened since is of that life.
    expect(await on([9_800])).toBe('committed');
    expect(await on([9_600, 9_800])).toHaveProperty('unknown');
  });
});
