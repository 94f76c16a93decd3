import { retryInfo } from '@outlast/core-retry';
import { expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import type { ContractFixture } from './fixture.js';

// Far above what settling takes, far below what waiting would.
const AT_ONCE_MS = 500;

/** Giving up: patience, permanent errors, and a client that is closed. */
export function refusalCases(fixture: ContractFixture): void {
  it('waits for as long as its patience lasts, and then surfaces the error of the driver', async () => {
    const { proxy, contract } = fixture;
    const client = fixture.client({ waitMs: 600 });
    const surfaced: unknown[] = [];
    client.policy.on('exhausted', (event) => surfaced.push(event.error));
    proxy.refuse();
    const ended = await ending(client.write(fixture.id()));
    const error = ended.ok ? undefined : ended.error;
    expect(ended.ms).toBeGreaterThanOrEqual(590);
    expect(ended.ms).toBeLessThan(600 + AT_ONCE_MS);
    expect(error).toMatchObject({ code: contract.refusedCode });
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
    expect(surfaced).toEqual([error]);
    expect(surfaced[0]).toBe(error);
  });

  it('asks once for what is refused for good, and surfaces the very error', async () => {
    const client = fixture.client();
    const told: string[] = [];
    let surfaced: unknown;
    client.policy.on('attempt', (event) => told.push(`attempt ${event.attempt}`));
    client.policy.on('retry', () => told.push('retry'));
    client.policy.on('exhausted', (event) => {
      told.push(`exhausted: ${event.reason}`);
      surfaced = event.error;
    });
    const error = await failureOf(client.refused());
    expect(surfaced).toBe(error);
    expect(told).toEqual(['attempt 1', 'exhausted: permanent']);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent', delaysMs: [] });
  });

  it('settles what waits for the service at once when its client is closed', async () => {
    const { proxy } = fixture;
    const client = fixture.client();
    proxy.refuse();
    let down = false;
    client.policy.on('down', () => {
      down = true;
    });
    const id = fixture.id();
    const pending = [ending(client.read()), ending(client.write(id)), ending(client.read())];
    await waitFor(() => down, { what: 'the outage to be noticed' });
    const closing = performance.now();
    await fixture.close(client);
    const ended = await Promise.all(pending);
    expect(performance.now() - closing).toBeLessThan(AT_ONCE_MS);
    for (const one of ended) {
      expect(one.ok).toBe(false);
      expect(!one.ok && one.error).toBeInstanceOf(Error);
      expect(!one.ok && retryInfo(one.error)?.outcome).not.toBe('unknown');
    }
    await proxy.accept();
    expect(await fixture.countWrites(id)).toBe(0);
  });

  it('settles what sleeps between two attempts at once when its client is closed', async () => {
    const { proxy, contract } = fixture;
    const client = fixture.client({ baseDelayMs: 60_000, maxDelayMs: 60_000, maxAttempts: 9 });
    await client.read();
    proxy.arm({ when: { bytes: contract.wire.read }, fault: 'cut-before', times: 100 });
    let delayMs = 0;
    client.policy.on('retry', (event) => {
      delayMs = event.delayMs;
    });
    const pending = ending(client.read());
    await waitFor(() => delayMs > 400, { what: 'a long delay' });
    const closing = performance.now();
    await fixture.close(client);
    const ended = await pending;
    expect(performance.now() - closing).toBeLessThan(AT_ONCE_MS);
    expect(ended.ok).toBe(false);
    expect(!ended.ok && ended.error).toBeInstanceOf(Error);
  });

  it('refuses what comes after it was closed', async () => {
    const client = fixture.client();
    await client.read();
    await fixture.close(client);
    expect(await failureOf(client.read())).toBeInstanceOf(Error);
  });
}
