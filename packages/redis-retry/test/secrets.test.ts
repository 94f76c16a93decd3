import { describe, expect, it } from 'vitest';
import { hideSecrets } from '../src/secrets.js';

function argsAfter(name: string, args: unknown[]): unknown {
  const error = Object.assign(new Error('ERR'), { command: { name, args } });
  hideSecrets(error);
  return error.command.args;
}

describe('the arguments on an error', () => {
  it.each([
    ['auth', ['canary']],
    ['AUTH', ['user', 'canary']],
    ['hello', [3, 'AUTH', 'default', 'canary']],
    ['acl', ['SETUSER', 'u', '>canary']],
    ['config', ['SET', 'requirepass', 'canary']],
    ['config', ['set', 'maxmemory', '1', 'masterauth', 'canary']],
    ['migrate', ['h', '1', 'k', '0', '1', 'AUTH', 'canary']],
    ['sentinel', ['SET', 'm', 'auth-pass', 'canary']],
  ])('of %s %j are hidden', (name, args) => {
    expect(argsAfter(name, args)).toEqual(['***']);
  });

  it.each([
    ['set', ['k', 'v']],
    ['acl', ['WHOAMI']],
    ['config', ['SET', 'maxmemory', '1']],
    ['auth', []],
  ])('of %s %j stay', (name, args) => {
    expect(argsAfter(name, args)).toEqual(args);
  });

  it('may be missing', () => {
    for (const error of [new Error('x'), undefined, null, 'text', { command: 7 }]) {
      expect(() => hideSecrets(error)).not.toThrow();
    }
  });
});
