import { describe, expect, it } from 'vitest';
import { guardRedirects, leavesOrigin } from '../src/redirects.js';

describe('another origin', () => {
  it.each([
    ['http://a.example/x', 'http://a.example/y', false],
    ['http://a.example', 'http://a.example:80', false],
    ['http://a.example/x', 'https://a.example/x', false],
    ['https://a.example', 'http://a.example', true],
    ['http://a.example:8080', 'https://a.example:8443', true],
    ['http://a.example', 'https://b.example', true],
    ['https://a.example', 'https://api.a.example', true],
    ['https://a.example', 'https://a.example:8443', true],
  ])('%s → %s: %s', (from, to, leaves) => {
    expect(leavesOrigin(new URL(from), new URL(to))).toBe(leaves);
  });
});

describe('what axios calls before it follows', () => {
  const going = (href: string) => ({
    href,
    auth: 'u:p',
    headers: { Accept: '*/*', authorization: 'x', 'X-Mine': 'y', host: 'h', 'content-type': 't' },
  });
  const call = (guard: ReturnType<typeof guardRedirects>, options: ReturnType<typeof going>) =>
    guard(options, { headers: {}, statusCode: 302 }, { headers: {}, url: '', method: 'GET' });

  it('keeps everything within an origin, and over an upgrade to https', () => {
    const guard = guardRedirects(() => new URL('http://a.example/1'), undefined);
    for (const href of ['http://a.example/2', 'https://a.example/3', 'https://a.example/4']) {
      const options = going(href);
      call(guard, options);
      expect(options).toEqual(going(href));
    }
  });

  it('takes off what says who asks, where another answers or nobody knows who did', () => {
    for (const first of [new URL('http://a.example/1'), undefined]) {
      const options = going('http://b.example/2');
      call(
        guardRedirects(() => first, undefined),
        options,
      );
      expect(options).toEqual({
        href: 'http://b.example/2',
        headers: { Accept: '*/*', host: 'h', 'content-type': 't' },
      });
    }
  });

  it('goes by where it is, not by where it began', () => {
    const guard = guardRedirects(() => new URL('http://a.example/1'), undefined);
    call(guard, going('https://b.example/2'));
    expect(() => call(guard, going('http://b.example/3'))).toThrow(/from https to http/);
  });
});
