import { isOptionError } from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';
import { type HostOptions, hostSettings } from '../src/host-list.js';

const settings = (options: HostOptions, driver = {}) => hostSettings(options, driver).hosts;
const configs = (options: HostOptions, driver = {}) =>
  settings(options, driver)?.hosts.map(({ config }) => config);

describe('the hosts of a pool', () => {
  it('are none where nothing is said: the driver’s configuration is left as it is', () => {
    const driver = { connectionString: 'postgres://u:p@a/db' };
    expect(hostSettings({}, driver)).toEqual({ hosts: undefined, driver });
    expect(hostSettings({}, driver).driver).toBe(driver);
    expect(settings({}, { connectionString: '/var/run db' })).toBeUndefined();
    // What is wrong with one host is for the driver to say.
    expect(settings({}, { connectionString: 'postgres://u:p@:port/x' })).toBeUndefined();
  });

  it('are names, addresses, folders and objects, with the pool’s port where they have none', () => {
    const hosts = ['a', 'b:6432', '[::1]:7000', '::1', '/run/pg', { host: 'c', port: 1 }];
    expect(() => settings({ hosts })).toThrow(/hosts\[3\] must be/);
    expect(configs({ hosts: hosts.filter((one) => one !== '::1') }, { port: 5000 })).toEqual([
      { host: 'a', port: 5000 },
      { host: 'b', port: 6432 },
      { host: '::1', port: 7000 },
      { host: '/run/pg', port: 5000 },
      { host: 'c', port: 1 },
    ]);
    expect(settings({ hosts: ['a', '[::1]'] })?.hosts.map(({ name }) => name)).toEqual([
      'a:5432',
      '[::1]:5432',
    ]);
  });

  it('want the primary unless told otherwise, by either name of the option', () => {
    expect(settings({ hosts: ['a'] })?.target).toBe('primary');
    expect(settings({ hosts: ['a'], targetSessionAttrs: 'standby' })?.target).toBe('standby');
    expect(settings({ target: 'read-write' }, { host: 'a' })).toEqual({
      target: 'read-write',
      hosts: [{ name: 'a:5432', config: { host: 'a', port: 5432 } }],
    });
    expect(settings({ target: 'any', targetSessionAttrs: 'any' }, { host: 'a' })?.target).toBe(
      'any',
    );
    expect(() => settings({ target: 'any', targetSessionAttrs: 'primary' })).toThrow(/one option/);
  });

  it('come from a URL with several, as libpq has it, which the driver never sees', () => {
    const connectionString =
      'postgresql://me:s%40cret@a:1,b,[::1]:3/db?target_session_attrs=standby&sslmode=disable';
    const { hosts, driver } = hostSettings({}, { connectionString });
    expect(hosts?.target).toBe('standby');
    expect(hosts?.hosts.map(({ config }) => config.connectionString)).toEqual([
      'postgresql://me:s%40cret@a:1/db?sslmode=disable',
      'postgresql://me:s%40cret@b:1/db?sslmode=disable',
      'postgresql://me:s%40cret@[::1]:3/db?sslmode=disable',
    ]);
    expect(driver.connectionString).toBe('postgresql://me:s%40cret@a:1/db?sslmode=disable');
  });

  it('take the place of the one in a URL, with everything else that it says', () => {
    const driver = { connectionString: 'postgres://me@gone:99/db' };
    expect(configs({ hosts: ['a', 'b:2', '/run/pg'] }, driver)).toEqual([
      { connectionString: 'postgres://me@a:99/db' },
      { connectionString: 'postgres://me@b:2/db' },
      { connectionString: 'postgres://me@%2Frun%2Fpg:99/db' },
    ]);
    expect(
      configs({}, { connectionString: 'postgres://me@a/db?target_session_attrs=primary' }),
    ).toEqual([{ connectionString: 'postgres://me@a:5432/db' }]);
  });

  it.each<[string, HostOptions, object, RegExp]>([
    ['no hosts', { hosts: [] }, {}, /^hosts must be a list of one host or more/],
    ['no list', { hosts: 'a,b' as never }, {}, /^hosts must be a list/],
    ['a URL', { hosts: ['postgres://a'] }, {}, /^hosts\[0\] must be 'host'/],
    ['an empty one', { hosts: ['a', ''] }, {}, /^hosts\[1\]/],
    ['a port that is none', { hosts: ['a:99999'] }, {}, /^hosts\[0\] port must be a whole number/],
    [
      'a port that is no number',
      { hosts: [{ host: 'a', port: '1' as never }] },
      {},
      /port must be/,
    ],
    ['an unknown key', { hosts: [{ host: 'a', user: 'b' } as never] }, {}, /^hosts\[0\]/],
    ['a target that is none', { target: 'master' as never }, {}, /'primary'.*got 'master'/],
    [
      'a target in a URL that is none',
      {},
      { connectionString: 'postgres://a,b/db?target_session_attrs=master' },
      /target_session_attrs must be 'any'/,
    ],
    [
      'a password that looks like a host',
      {},
      { connectionString: 'postgres://me:canary,x/y@a/db' },
      /^connectionString has a host that is none/,
    ],
    [
      'hosts that cannot be decoded',
      {},
      { connectionString: 'postgres://me:canary@a%,b/db' },
      /^connectionString has a host that is none/,
    ],
    [
      'hosts in both places',
      { hosts: ['c'] },
      { connectionString: 'postgres://me:canary@a,b/db' },
      /Keep one of the two/,
    ],
  ])('are refused with one clear error: %s', (_, options, driver, message) => {
    let error: unknown;
    try {
      settings(options, driver);
    } catch (thrown) {
      error = thrown;
    }
    expect(isOptionError(error)).toBe(true);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain('canary');
  });
});
