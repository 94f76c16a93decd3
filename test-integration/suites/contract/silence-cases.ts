import { isDeadlineExceededError, isOutcomeUnknown, retryInfo } from '@outlast/core-retry';
import { expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending } from '../support/errors.js';
import type { ContractFixture } from './fixture.js';

// Far above what giving up takes, far below what waiting for an answer would.
const PROMPT_MS = 1500;

/** Requests go out and nothing comes back. */
export function silenceCases(fixture: ContractFixture): void {
  it('bounds a silent read by its totalTimeoutMs, and goes on', async () => {
    const { proxy, contract } = fixture;
    const client = fixture.client();
    await client.read();
    const armed = proxy.arm({ when: { bytes: contract.wire.read }, fault: 'silence' });
    const ended = await ending(client.read({ totalTimeoutMs: 300 }));
    expect(armed.fired).toBe(1);
    expect(ended.ok).toBe(false);
    expect(ended.ms).toBeGreaterThanOrEqual(299);
    expect(ended.ms).toBeLessThan(PROMPT_MS);
    expect(!ended.ok && isDeadlineExceededError(ended.error)).toBe(true);
    await client.read({ totalTimeoutMs: PROMPT_MS });
    await waitFor(() => proxy.open <= 1, { what: 'the silent connection to be dropped' });
  });

  it('ends a silent write by its signal, with the reason of the signal and an unknown outcome', async () => {
    const { proxy, contract } = fixture;
    const client = fixture.client();
    await client.read();
    const id = fixture.id();
    const armed = proxy.arm({ when: { bytes: contract.wire.write }, fault: 'silence' });
    const controller = new AbortController();
    const pending = ending(client.write(id, { signal: controller.signal }));
    await armed.hit;
    await waitFor(async () => (await fixture.countWrites(id)) === 1, {
      what: 'the write to arrive',
    });
    const reason = new Error('enough');
    const aborted = performance.now();
    controller.abort(reason);
    const ended = await pending;
    expect(performance.now() - aborted).toBeLessThan(PROMPT_MS);
    expect(!ended.ok && ended.error).toBe(reason);
    expect(retryInfo(reason)).toMatchObject({ reason: 'cancelled', outcome: 'unknown' });
    expect(isOutcomeUnknown(reason)).toBe(true);
    expect(await fixture.countWrites(id)).toBe(1);
    await client.read({ totalTimeoutMs: PROMPT_MS });
  });

  it('bounds an operation whose service takes connections and says nothing', async () => {
    const { proxy, contract } = fixture;
    const client = fixture.client();
    proxy.silence();
    const id = fixture.id();
    const ended = await ending(client.write(id, { totalTimeoutMs: 400 }));
    expect(ended.ok).toBe(false);
    expect(ended.ms).toBeLessThan(PROMPT_MS);
    // Where nothing is said before, the write itself is what goes out into the silence.
    const sent = contract.handshake === false;
    const outcome = sent ? 'unknown' : 'not-applied';
    expect(!ended.ok && retryInfo(ended.error)?.outcome).toBe(outcome);
    proxy.speak();
    await client.read({ totalTimeoutMs: 3000 });
    expect(await fixture.countWrites(id)).toBeLessThanOrEqual(sent ? 1 : 0);
  });
}
