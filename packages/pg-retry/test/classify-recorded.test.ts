import type { Phase } from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';
import { classifyPg } from '../src/classify.js';
import recorded from './fixtures/recorded-pg.json' with { type: 'json' };

// What pg 8.23.1 threw at real faults of PostgreSQL 15.18; `reference/sql.md` §5a.
interface RecordedError {
  readonly message: string;
  readonly cause?: RecordedError;
  readonly [field: string]: unknown;
}
interface Recorded {
  readonly scenario: string;
  readonly err?: RecordedError;
  readonly events?: readonly { readonly event: string; readonly err: RecordedError }[];
  readonly seen_during?: Readonly<Record<string, number>>;
}
const records = recorded as unknown as readonly Recorded[];

function replay({ message, cause, ...fields }: RecordedError): Error {
  const error = new Error(message, cause && { cause: replay(cause) });
  const { ctor: _, instanceofError: __, ...own } = fields;
  return Object.assign(error, own);
}

type Verdict = readonly [phase: Phase, verdict: string];

/** scenario → phase of the error, and `category outcome` (transient) or `category never`. */
const EXPECTED: Readonly<Record<string, Verdict>> = {
  'connection refused': ['connect', 'network not-applied'],
  'dns failure': ['connect', 'network not-applied'],
  'connect timeout 1s (tcp ok, silent)': ['connect', 'timeout not-applied'],
  'auth failure 28P01': ['connect', 'auth never'],
  'unknown database 3D000': ['connect', 'not-found never'],
  'syntax error 42601': ['sent', 'invalid never'],
  'unique violation 23505': ['sent', 'conflict never'],
  'read only 25006': ['sent', 'invalid never'],
  'statement_timeout 57014': ['sent', 'timeout never'],
  'lock_timeout 55P03': ['sent', 'contention never'],
  'nowait 55P03': ['sent', 'contention never'],
  'serialization 40001': ['sent', 'contention not-applied'],
  'deadlock 40P01': ['sent', 'contention not-applied'],
  'in failed tx 25P02': ['sent', 'invalid never'],
  'cancel backend 57014': ['sent', 'timeout never'],
  'pg_terminate_backend mid-query': ['sent', 'unavailable unknown'],
  'terminate between checkout & query': ['sent', 'network not-applied'],
  'terminate inside tx then COMMIT': ['commit', 'network not-applied'],
  'idle_in_tx timeout 25P03': ['sent', 'network not-applied'],
  'socket FIN mid-query': ['sent', 'network unknown'],
  'socket RST mid-query': ['sent', 'network unknown'],
  'half-open (swallow), client timeout 1s': ['sent', 'timeout unknown'],
  'COMMIT forwarded, reply lost': ['commit', 'network unknown'],
  'COMMIT never reached server': ['commit', 'network unknown'],
  'autocommit INSERT, reply lost': ['sent', 'network unknown'],
  'too many connections 53300': ['connect', 'resource-exhausted not-applied'],
  'pool exhausted (1 conn, cto 700ms)': ['acquire', 'timeout not-applied'],
  'cached plan 0A000': ['sent', 'invalid never'],
  'restart -m fast mid-query': ['sent', 'unavailable unknown'],
  'restart -m immediate mid-query': ['sent', 'network unknown'],
};

function verdict(error: unknown, phase: Phase): string {
  const { category, transient, outcome } = classifyPg(error, phase);
  return `${category} ${transient ? outcome : 'never'}`;
}

describe('recorded errors of real servers', () => {
  for (const { scenario, err, events = [], seen_during = {} } of records) {
    if (err) {
      const [phase, expected] = EXPECTED[scenario] ?? ['sent', 'no expectation'];
      const name = `${err['code'] ?? err.message}, recorded: ${scenario} (${phase})`;
      it(name, () => expect(verdict(replay(err), phase)).toBe(expected));
    }
    for (const { event, err: seen } of events) {
      const code = seen['code'] as string | undefined;
      it(`${code ?? seen.message}, recorded as ${event}: ${scenario}`, () => {
        const expected: Readonly<Record<string, string>> = {
          '57P01': 'unavailable unknown',
          '25P03': 'timeout not-applied',
        };
        expect(verdict(replay(seen), 'sent')).toBe(expected[code ?? ''] ?? 'network unknown');
        expect(verdict(replay(seen), 'connect')).toMatch(/ not-applied$/);
      });
    }
    for (const seen of Object.keys(seen_during)) {
      const [code = '', ...words] = seen.split(' ');
      if (code === 'ok') continue;
      const fields = code === '57P03' ? { code, severity: 'FATAL' } : code ? { code } : {};
      const error = Object.assign(new Error(words.join(' ')), fields);
      it(`${seen.trim()}, recorded during: ${scenario}`, () => {
        expect(verdict(error, 'connect')).toMatch(/^(?:network|unavailable) not-applied$/);
      });
    }
  }

  it('all have an expectation', () => {
    const withError = records.filter(({ err }) => err).map(({ scenario }) => scenario);
    expect(Object.keys(EXPECTED).sort()).toEqual(withError.sort());
  });
});
