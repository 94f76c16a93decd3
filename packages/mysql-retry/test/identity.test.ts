import { describe, expect, it } from 'vitest';
import { type Identity, sameLife, sameServer } from '../src/identity.js';

const noted: Identity = {
  id: 7,
  hostname: 'db1',
  port: 3306,
  serverId: 1,
  uptimeS: 100,
  at: 50_000,
};
const later = (changes: Partial<Identity>): Identity => ({
  ...noted,
  uptimeS: 160,
  at: 110_000,
  ...changes,
});

describe('two answers of a server', () => {
  it.each([
    ['its uptime has grown with the clock', {}, true],
    ['it rounds to whole seconds', { uptimeS: 161 }, true],
    ['it was restarted in between', { uptimeS: 3 }, false],
    ['it was restarted at once', { uptimeS: 59 }, false],
    ['it has another name', { hostname: 'db2' }, false],
    ['it listens elsewhere', { port: 3307 }, false],
    ['it has another number', { serverId: 2 }, false],
  ] as const)('come from the same life if %s', (_, changes, same) => {
    expect(sameLife(noted, later(changes))).toBe(same);
  });

  it('are in doubt where it had been up for a moment only: a restart would look the same', () => {
    const fresh = { ...noted, uptimeS: 2 };
    expect(sameLife(fresh, { ...noted, uptimeS: 3, at: 51_000 })).toBe(false);
    expect(sameServer(fresh, noted)).toBe(true);
  });
});
