import { describe, expect, it } from 'vitest';
import { type Held, judge, OVERLAP_BYTES, plan, strongEtag, urlIdentity } from '../src/range.js';

const URL_A = 'https://a.example/f';
const held = (given: Partial<Held> = {}): Held => ({
  bytes: 1_000_000,
  etag: '"v1"',
  etagOf: URL_A,
  found: false,
  ...given,
});
const answer = (given: { contentRange?: string; etag?: string; length?: number } = {}) => ({
  contentRange: undefined,
  etag: undefined,
  length: undefined,
  ...given,
});

describe('what is asked for', () => {
  it.each([
    ['nothing is there', held({ bytes: 0 }), 'auto', 5_000_000],
    ['resuming is off', held(), false, 5_000_000],
    [
      'no validator, and no leave to go by the size',
      held({ etag: undefined }),
      'validator',
      5_000_000,
    ],
    [
      'the validator is another URL’s',
      held({ etagOf: 'https://b.example/f' }),
      'validator',
      5_000_000,
    ],
    ['no validator, and no size is known', held({ etag: undefined }), 'auto', undefined],
  ] as const)('is the whole when %s', (_, there, resume, size) => {
    expect(plan(there, resume, URL_A, size)).toEqual({ from: 0, overlap: 0 });
  });

  it('is the rest by If-Range, without an overlap, for bytes of this process', () => {
    const asked = plan(held(), 'validator', URL_A, undefined);
    expect(asked).toEqual({ from: 1_000_000, overlap: 0, ifRange: '"v1"' });
  });

  it('looks again at the last 64 KB of bytes that were found', () => {
    const asked = plan(held({ found: true }), 'validator', URL_A, undefined);
    const from = 1_000_000 - OVERLAP_BYTES;
    expect(asked).toEqual({ from, overlap: OVERLAP_BYTES, ifRange: '"v1"' });
  });

  it('asks for the last byte where all of them are there', () => {
    const asked = plan(held(), 'validator', URL_A, 1_000_000);
    expect(asked).toEqual({ from: 999_999, overlap: 1, ifRange: '"v1"' });
  });

  it.each(['size', 'auto'] as const)(
    'goes by the size (%s) with an overlap and no If-Range',
    (resume) => {
      const asked = plan(held({ etag: undefined }), resume, URL_A, 5_000_000);
      expect(asked).toEqual({ from: 1_000_000 - OVERLAP_BYTES, overlap: OVERLAP_BYTES });
    },
  );

  it('goes by the size although there is a validator, if told so', () => {
    expect(plan(held(), 'size', URL_A, 5_000_000)).not.toHaveProperty('ifRange');
  });
});

describe('what an answer means', () => {
  const byTag = plan(held(), 'validator', URL_A, undefined);
  const bySize = plan(held({ etag: undefined }), 'size', URL_A, 5_000_000);
  const range = (from: number, total: number | '*') =>
    `bytes ${from}-${Number(total) - 1 || from}/${total}`;

  it.each([
    ['206 that goes on', byTag, 206, answer({ contentRange: range(1_000_000, 5_000_000) }), 'rest'],
    [
      '206 with our tag',
      byTag,
      206,
      answer({ contentRange: range(1_000_000, 9), etag: '"v1"' }),
      'rest',
    ],
    [
      '206 with another tag',
      byTag,
      206,
      answer({ contentRange: range(1_000_000, 9), etag: '"v2"' }),
      'restart',
    ],
    ['206 from elsewhere', byTag, 206, answer({ contentRange: range(5, 5_000_000) }), 'restart'],
    ['206 without Content-Range', byTag, 206, answer(), 'restart'],
    [
      '206 of unknown total, by tag',
      byTag,
      206,
      answer({ contentRange: 'bytes 1000000-1000001/*' }),
      'rest',
    ],
    [
      '206 of unknown total, by size',
      bySize,
      206,
      answer({ contentRange: `bytes ${bySize.from}-9/*` }),
      'restart',
    ],
    [
      '206 of another total, by size',
      bySize,
      206,
      answer({ contentRange: range(bySize.from, 4) }),
      'restart',
    ],
    [
      '206 of this total, by size',
      bySize,
      206,
      answer({ contentRange: range(bySize.from, 5_000_000) }),
      'rest',
    ],
    ['200: the whole', byTag, 200, answer({ length: 7 }), 'whole'],
    [
      '416 with all that we have',
      byTag,
      416,
      answer({ contentRange: 'bytes */1000000' }),
      'complete',
    ],
    ['416 with more', byTag, 416, answer({ contentRange: 'bytes */2000000' }), 'restart'],
    ['416 by size', bySize, 416, answer({ contentRange: 'bytes */1000000' }), 'restart'],
  ] as const)('%s', (_, asked, status, headers, kind) => {
    const size = asked === bySize ? 5_000_000 : undefined;
    expect(judge(asked, held(), status, headers, size).kind).toBe(kind);
  });

  it('416 is no proof where another size was expected', () => {
    const headers = answer({ contentRange: 'bytes */1000000' });
    expect(judge(byTag, held(), 416, headers, 5_000_000).kind).toBe('restart');
  });
});

it('takes strong tags only', () => {
  expect(strongEtag('"a"')).toBe('"a"');
  for (const weak of ['W/"a"', 'a', '', undefined]) expect(strongEtag(weak)).toBeUndefined();
});

it('knows a file by its URL without signatures and credentials', () => {
  const signed = new URL(
    'https://u:p@s3.example/k?version=3&X-Amz-Signature=1&X-Amz-Date=2&Expires=9#x',
  );
  expect(urlIdentity(signed)).toBe('https://s3.example/k?version=3');
  const azure = new URL('https://b.example/k?sig=1&se=2&sv=3&size=4');
  expect(urlIdentity(azure)).toBe('https://b.example/k?size=4');
});
