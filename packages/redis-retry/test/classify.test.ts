import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classifyRedis, isReply, RETRYABLE_REPLIES } from '../src/classify.js';
import { isWaitedFor, REPLIES } from '../src/replies.js';
import recorded from './fixtures/recorded-redis.json' with { type: 'json' };

// What ioredis 6.0.0 threw at real faults of Redis 7.0.15.
interface RecordedError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly syscall?: string;
  readonly lastNodeError?: string;
}
const cases = recorded.cases as unknown as Readonly<Record<string, RecordedError>>;

function reply(message: string): Error {
  const error = new Error(message);
  error.name = 'ReplyError';
  return error;
}

function replay({ name, message, lastNodeError, code, syscall }: RecordedError): Error {
  const error = new Error(message);
  if (name !== undefined) error.name = name;
  const given = { code, syscall, lastNodeError: lastNodeError && new Error(lastNodeError) };
  for (const [key, value] of Object.entries(given)) {
    if (value !== undefined) Object.assign(error, { [key]: value });
  }
  return error;
}

function verdict(error: unknown, phase: 'connect' | 'sent' = 'sent'): string {
  const { category, transient, outcome } = classifyRedis(error, phase);
  return `${category} ${transient ? outcome : `never ${outcome}`}`;
}

/** Of a recorded case; `HANG` and what resolved has no error to classify. */
const RECORDED: Readonly<Record<string, string>> = {
  'refused.errorEvent': 'network not-applied',
  'refused.maxRetries1': 'network unknown',
  'refused.noRetryStrategy': 'network unknown',
  afterEnd: 'network unknown',
  'refused.offlineQueueOff': 'network not-applied',
  'CLIENT KILL self multi': 'network unknown',
  BUSY: 'unavailable not-applied',
  NOTBUSY: 'invalid never not-applied',
  UNKILLABLE: 'invalid never not-applied',
  NOSCRIPT: 'not-found never not-applied',
  'script err in call': 'invalid never unknown',
  WRONGTYPE: 'invalid never not-applied',
  'ERR notint': 'invalid never not-applied',
  'ERR unknown': 'invalid never not-applied',
  'ERR args': 'invalid never not-applied',
  NOGROUP: 'not-found never not-applied',
  'XADD smaller id': 'invalid never not-applied',
  BUSYGROUP: 'conflict never not-applied',
  EXECABORT: 'invalid never not-applied',
  'NOPERM cmd': 'auth never not-applied',
  'NOPERM key': 'auth never not-applied',
  'RESTORE BUSYKEY': 'conflict never not-applied',
  'LOADING(no readyCheck)': 'unavailable not-applied',
  READONLY: 'unavailable not-applied',
  MASTERDOWN: 'unavailable not-applied',
  NOREPLICAS: 'unavailable not-applied',
  OOM: 'resource-exhausted never not-applied',
  'OOM script': 'resource-exhausted never unknown',
  NOAUTH: 'auth never not-applied',
  WRONGPASS: 'auth never not-applied',
  'MAXCLIENTS.errorEvent0': 'network unknown',
  'MAXCLIENTS proto2': 'resource-exhausted not-applied',
  commandTimeout: 'timeout unknown',
  'DNS.errorEvent': 'network not-applied',
  'subscriberMode GET proto2': 'invalid never not-applied',
  garbage: 'invalid never unknown',
  MOVED: 'invalid never not-applied',
  CROSSSLOT: 'invalid never not-applied',
  ASK: 'invalid never not-applied',
  TRYAGAIN: 'unavailable not-applied',
  'cluster cmd node killed': 'unavailable not-applied',
  ClusterAllFailed: 'network not-applied',
  'ClusterAllFailed.event': 'network not-applied',
  'sentinel unreachable': 'network not-applied',
  MISCONF: 'unavailable not-applied',
};

/** The rows of the table that no recording has. */
const LIVE: Readonly<Record<string, string>> = {
  'CLUSTERDOWN The cluster is down': 'unavailable not-applied',
  'UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)':
    'unavailable not-applied',
  'UNBLOCKED client unblocked via CLIENT UNBLOCK': 'cancelled never not-applied',
  'DENIED Redis is running in protected mode': 'auth never not-applied',
  'NOPROTO unsupported protocol version': 'invalid never not-applied',
  'INPROG Failover already in progress': 'invalid never not-applied',
  'NOGOODSLAVE No suitable replica to promote': 'invalid never not-applied',
  'NOTREADY Connected but not ready': 'invalid never not-applied',
  'NOQUORUM 1 usable Sentinels': 'invalid never not-applied',
  "NOMASTERLINK Can't SYNC while not connected with my master": 'unavailable not-applied',
  'ERR Protocol error: invalid bulk length': 'invalid never unknown',
  'ERR invalid password': 'auth never not-applied',
  "READONLY You can't write against a read only replica. script: 851ab5c4815573433b8c8eed0a889f947a2e885a, on @user_script:1.":
    'unavailable unknown',
  "ERR Error running script (call to f_x): @user_script:1: -READONLY You can't write":
    'invalid never unknown',
};

describe('classifyRedis', () => {
  it.each(Object.entries(RECORDED))('recorded %s: %s', (name, expected) => {
    const one = cases[name];
    expect(one).toBeDefined();
    expect(verdict(replay(one as RecordedError))).toBe(expected);
  });

  it.each(Object.entries(LIVE))('live %s: %s', (message, expected) => {
    expect(verdict(reply(message))).toBe(expected);
  });

  it('has a test for every row of its table', () => {
    const messages = [
      ...Object.keys(RECORDED).map((name) => cases[name]?.message ?? ''),
      ...Object.keys(LIVE),
    ];
    const tested = new Set(messages.map((message) => /^[A-Z]+/.exec(message)?.[0]));
    expect([...REPLIES.keys()].filter((word) => !tested.has(word))).toEqual([]);
  });

  it('takes nothing for applied before it was sent', () => {
    for (const error of Object.values(cases)) {
      if (error.message === undefined) continue;
      expect(classifyRedis(replay(error), 'connect').outcome).toBe('not-applied');
    }
  });

  it('opens up what a Cluster hides', () => {
    const failed = Object.assign(new Error('Failed to refresh slots cache.'), {
      lastNodeError: reply('NOAUTH Authentication required.'),
    });
    expect(verdict(failed)).toBe('auth never not-applied');
    const start = 'Too many Cluster redirections. Last error: ';
    expect(verdict(new Error(`${start}Error: Connection is closed.`))).toBe('network unknown');
    expect(verdict(new Error(`${start}ReplyError: CLUSTERDOWN The cluster is down`))).toBe(
      'unavailable not-applied',
    );
  });

  it('knows certificates', () => {
    const error = Object.assign(new Error('self-signed'), { code: 'SELF_SIGNED_CERT_IN_CHAIN' });
    expect(verdict(error, 'connect')).toBe('auth never not-applied');
  });

  it('has an answer to any value', () => {
    const hostile = new Proxy(
      {},
      {
        get() {
          throw new Error('no');
        },
      },
    );
    for (const value of [undefined, null, 0, '', Symbol('x'), hostile, () => {}]) {
      expect(classifyRedis(value, 'sent')).toHaveProperty('category');
    }
    fc.assert(fc.property(fc.anything(), (value) => 'outcome' in classifyRedis(value, 'sent')));
  });
});

describe('the lists', () => {
  it('name what may succeed later, and what is waited for', () => {
    expect(RETRYABLE_REPLIES).toEqual(expect.arrayContaining(['LOADING', 'BUSY', 'TRYAGAIN']));
    expect(RETRYABLE_REPLIES).not.toContain('OOM');
    expect(isWaitedFor('LOADING Redis is loading')).toBe(true);
    expect(isWaitedFor('BUSY Redis is busy')).toBe(false);
    expect(isReply(reply('ERR'))).toBe(true);
    expect(isReply(new Error('ERR'))).toBe(false);
  });
});
