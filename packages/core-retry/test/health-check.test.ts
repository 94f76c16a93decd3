import { describe, expect, it } from 'vitest';
import { askHealth } from '../src/health-check.js';
import { classifyError, RetryPolicy } from '../src/index.js';
import { ManualClock } from '../src/testing.js';

function setUp() {
  const clock = new ManualClock();
  const policy = new RetryPolicy({ clock, random: () => 0.5, maxAttempts: 9 });
  const question = { operation: 'thing.healthCheck', policy, classify: classifyError };
  return { clock, question };
}

describe('askHealth', () => {
  it('reports the answer, how many attempts it took, and how long', async () => {
    const { clock, question } = setUp();
    const asked: number[] = [];
    const report = await clock.runUntilSettled(
      askHealth({
        ...question,
        ask: ({ number }) => {
          asked.push(clock.now());
          if (number < 3) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
          return '7.2';
        },
        details: (version) => ({ version }),
      }),
    );
    expect(asked).toEqual([0, 500, 1500]);
    expect(report).toEqual({ ok: true, ms: 1500, attempts: 3, details: { version: '7.2' } });
  });

  it('never rejects: three attempts, then the error, and what is known all the same', async () => {
    const { clock, question } = setUp();
    const away = Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
    const report = await clock.runUntilSettled(
      askHealth({
        ...question,
        ask: () => Promise.reject(away),
        details: (answer, error) => ({ answer, error }),
      }),
    );
    const details = { answer: undefined, error: away };
    expect(report).toEqual({ ok: false, ms: 1500, attempts: 3, error: away, details });
  });

  it('asks again though the answer was lost after the question was sent', async () => {
    const { clock, question } = setUp();
    const report = await clock.runUntilSettled(
      askHealth({
        ...question,
        ask: (attempt) => {
          attempt.phase = 'sent';
          if (attempt.number === 1) throw Object.assign(new Error('cut'), { code: 'ECONNRESET' });
          return 'well';
        },
        details: (answer) => ({ answer }),
      }),
    );
    expect(report).toEqual({ ok: true, ms: 500, attempts: 2, details: { answer: 'well' } });
  });

  it('gives up an attempt that is silent for 5 s', async () => {
    const { clock, question } = setUp();
    const report = await clock.runUntilSettled(
      askHealth({ ...question, ask: () => new Promise<never>(() => {}), details: () => ({}) }),
    );
    expect([report.ok, report.attempts, report.ms]).toEqual([false, 3, 16_500]);
  });
});
