import { ManualClock } from '@outlast/core-retry/testing';
import type driver from 'pg';
import { describe, expect, it } from 'vitest';
import { classifyPg } from '../src/classify.js';
import type { Target } from '../src/host-list.js';
import { type Dialled, Hosts } from '../src/hosts.js';

const WRONG = new Error('server is in hot standby mode');
const refused = (): Error =>
  Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' });

function setUp(names: readonly string[], target: Target = 'primary') {
  const clock = new ManualClock();
  const hosts = new Hosts({
    target,
    hosts: names.map((name) => ({ name, config: { host: name } })),
    clock,
    judge: (error) => classifyPg(error, 'connect'),
  });
  const dialled: string[] = [];
  const open = new Map<string, Dialled>();
  const spare: unknown[] = [];
  const givenUp: string[] = [];
  const dial = () => {
    const result: { error?: Error | undefined; client?: unknown } = {};
    hosts.dial(
      ({ name }, then) => {
        dialled.push(hosts.wanted === target ? name : `${name} as ${hosts.wanted}`);
        open.set(name, then);
        return () => givenUp.push(name);
      },
      (error, client) => Object.assign(result, { error, client }),
      (client) => spare.push(client),
    );
    return result;
  };
  const answer = (name: string, error?: Error) =>
    open.get(name)?.(error, error ? undefined : ({ name } as unknown as driver.PoolClient));
  return { clock, hosts, dialled, dial, answer, spare, givenUp };
}

describe('dialling several hosts', () => {
  it('goes on to the next at once where one refuses or is of the wrong kind, and stays with who serves', () => {
    const { dial, answer, dialled } = setUp(['a', 'b', 'c']);
    const first = dial();
    answer('a', refused());
    answer('b', WRONG);
    answer('c');
    expect(first.client).toEqual({ name: 'c' });
    dial();
    expect(dialled).toEqual(['a', 'b', 'c', 'c']);
  });

  it('does not wait for a silent one: the next is tried beside it, and the late answer is spare', async () => {
    const { dial, answer, dialled, clock, spare, givenUp } = setUp(['a', 'b']);
    const result = dial();
    await clock.advance(249);
    expect(dialled).toEqual(['a']);
    await clock.advance(1);
    expect(dialled).toEqual(['a', 'b']);
    answer('b');
    expect(result.client).toEqual({ name: 'b' });
    expect(givenUp).toEqual(['a']);
    answer('a');
    expect(spare).toEqual([{ name: 'a' }]);
    expect(clock.pending).toBe(0);
  });

  it('ends with one error that lists each host and why, and that waiting may cure', () => {
    const { dial, answer } = setUp(['a', 'b']);
    const result = dial();
    answer('a', WRONG);
    answer('b', refused());
    expect(result.error?.message).toBe(
      `No host serves as 'primary': a (server is in hot standby mode), b (connect ECONNREFUSED).`,
    );
    expect(result.error).toMatchObject({ code: 'ECONNREFUSED' });
    expect(classifyPg(result.error, 'connect')).toMatchObject({
      transient: true,
      outcome: 'not-applied',
    });
  });

  it('surfaces the driver’s own error where there is but one host', () => {
    const { dial, answer } = setUp(['a']);
    const result = dial();
    const error = refused();
    answer('a', error);
    expect(result.error).toBe(error);
  });

  it('tries nobody else once a server said no to this user', () => {
    const { dial, answer, dialled } = setUp(['a', 'b']);
    const result = dial();
    const no = Object.assign(new Error('password authentication failed'), {
      code: '28P01',
      severity: 'FATAL',
    });
    answer('a', no);
    expect(result.error).toBe(no);
    expect(dialled).toEqual(['a']);
  });

  it('prefers a standby, and takes anybody only when no host is one', async () => {
    const { dial, answer, dialled, clock } = setUp(['a', 'b'], 'prefer-standby');
    const result = dial();
    answer('a', new Error('server is not in hot standby mode'));
    expect(dialled).toEqual(['a as standby', 'b as standby']);
    // The second round does not wait for who is silent.
    await clock.advance(250);
    expect(dialled.at(-1)).toBe('a as any');
    answer('a');
    expect(result.client).toEqual({ name: 'a' });
  });

  it('begins elsewhere after the one that served was found demoted', () => {
    const { dial, answer, dialled, hosts } = setUp(['a', 'b']);
    dial();
    answer('a');
    hosts.passOver();
    dial();
    expect(dialled).toEqual(['a', 'b']);
  });
});
