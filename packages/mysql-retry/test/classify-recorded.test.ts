import type { Phase } from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';
import { classifyMysql } from '../src/classify.js';
import recorded from './fixtures/recorded-mysql.json' with { type: 'json' };

// What mysql2 3.24.6 threw at real faults of MariaDB 10.11.19; `reference/sql.md` §5a.
interface RecordedError {
  readonly message: string;
  readonly [field: string]: unknown;
}
interface Recorded {
  readonly scenario: string;
  readonly err?: RecordedError;
  readonly events?: readonly { readonly event: string; readonly err: RecordedError }[];
}
const records = recorded as unknown as readonly Recorded[];

function replay({ message, ...fields }: RecordedError): Error {
  const { ctor: _, instanceofError: __, ...own } = fields;
  return Object.assign(new Error(message), own);
}

type Verdict = readonly [phase: Phase, verdict: string];

/** scenario → phase of the error, and `category outcome` (transient) or `category never`. */
const EXPECTED: Readonly<Record<string, Verdict>> = {
  'connection refused': ['connect', 'network not-applied'],
  'dns failure': ['connect', 'network not-applied'],
  'connect timeout 1s (silent)': ['connect', 'timeout not-applied'],
  'auth failure 1045': ['connect', 'auth never'],
  'unknown database 1049': ['connect', 'not-found never'],
  'syntax error 1064': ['sent', 'invalid never'],
  'duplicate key 1062': ['sent', 'conflict never'],
  'SET SESSION TRANSACTION READ ONLY 1792': ['sent', 'invalid never'],
  'read_only=1 server 1290': ['sent', 'unavailable not-applied'],
  'max_statement_time 1969': ['sent', 'timeout never'],
  'KILL connection mid-query': ['sent', 'network unknown'],
  'KILL idle, next query at once': ['sent', 'network unknown'],
  'KILL between checkout & query': ['sent', 'network not-applied'],
  'KILL in tx then COMMIT': ['commit', 'network not-applied'],
  'lock wait timeout 1205': ['sent', 'contention not-applied'],
  'NOWAIT lock 1205/3572': ['sent', 'contention not-applied'],
  'deadlock 1213': ['sent', 'contention not-applied'],
  'savepoint/unknown table 1146': ['sent', 'not-found never'],
  'max_allowed_packet 1153': ['sent', 'invalid never'],
  'socket FIN mid-query': ['sent', 'network unknown'],
  'socket RST mid-query': ['sent', 'network unknown'],
  'half-open, query timeout 1s': ['sent', 'timeout unknown'],
  'COMMIT forwarded, reply lost': ['commit', 'network unknown'],
  'COMMIT never reached server': ['commit', 'network unknown'],
  'autocommit INSERT, reply lost': ['sent', 'network unknown'],
  'too many connections 1040': ['connect', 'resource-exhausted not-applied'],
  'queueLimit exceeded': ['acquire', 'resource-exhausted never'],
  'server shutdown mid-query + restart': ['sent', 'network unknown'],
  'server kill -9 mid-query + restart': ['sent', 'network unknown'],
};

function verdict(error: unknown, phase: Phase): string {
  const { category, transient, outcome } = classifyMysql(error, phase);
  return `${category} ${transient ? outcome : 'never'}`;
}

describe('recorded errors of real servers', () => {
  for (const { scenario, err, events = [] } of records) {
    if (err) {
      const [phase, expected] = EXPECTED[scenario] ?? ['sent', 'no expectation'];
      const name = `${err['code'] ?? err['errno'] ?? err.message}, recorded: ${scenario} (${phase})`;
      it(name, () => expect(verdict(replay(err), phase)).toBe(expected));
    }
    for (const { event, err: seen } of events) {
      it(`${seen['code'] ?? seen.message}, recorded as ${event}: ${scenario}`, () => {
        expect(verdict(replay(seen), 'sent')).toBe('network unknown');
        expect(verdict(replay(seen), 'connect')).toBe('network not-applied');
      });
    }
  }

  it('all have an expectation', () => {
    const withError = records.filter(({ err }) => err).map(({ scenario }) => scenario);
    expect(Object.keys(EXPECTED).sort()).toEqual(withError.sort());
  });
});
