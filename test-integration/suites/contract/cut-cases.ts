import { isOutcomeUnknown, retryInfo } from '@outlast/core-retry';
import { expect, it } from 'vitest';
import type { FaultKind } from '../../faults/index.js';
import { failureOf } from '../support/errors.js';
import type { ContractFixture } from './fixture.js';

/** The wire is cut around one operation. */
export function cutCases(fixture: ContractFixture): void {
  const { handshake, resolves } = fixture.contract;
  // Where nothing is said before, the first bytes that are lost may be those of the write.
  if (handshake !== false || resolves) duringHandshake(fixture);

  it.each(['cut-before', 'cut-after'] as const)('replays a read after %s', async (fault) => {
    const { proxy, contract } = fixture;
    const client = fixture.client();
    await client.read();
    const armed = proxy.arm({ when: { bytes: contract.wire.read }, fault });
    await client.read();
    expect(armed.fired).toBe(1);
  });

  if (fixture.contract.resolves) resolved(fixture);
  else surfaced(fixture);
}

function duringHandshake(fixture: ContractFixture): void {
  it.each(['cut-before', 'cut-after'] as const)(
    'retries a write that was never sent, for its connection died while it was made (%s), and applies it once',
    async (fault) => {
      const { proxy } = fixture;
      const client = fixture.client();
      const id = fixture.id();
      const armed = proxy.arm({ when: { requestNumber: 1 }, fault, times: 2 });
      await client.write(id);
      expect(armed.fired).toBe(2);
      expect(await fixture.countWrites(id)).toBe(1);
    },
  );
}

const LOST = [
  ['reset', 'cut-before', 0],
  ['fin', 'cut-before', 0],
  ['reset', 'cut-after', 1],
  ['fin', 'cut-after', 1],
] as ['reset' | 'fin', FaultKind, number][];

function surfaced(fixture: ContractFixture): void {
  // Whether a request was lost before the service or behind it cannot be seen at this end.
  it.each(LOST)(
    'surfaces a write whose answer was lost (%s, %s) as outcome unknown, and does not repeat it',
    async (how, fault, traces) => {
      const { proxy, contract } = fixture;
      const client = fixture.client();
      const retries: unknown[] = [];
      const unknowns: unknown[] = [];
      client.policy.on('retry', (event) => retries.push(event));
      client.policy.on('outcomeUnknown', (event) => unknowns.push(event.error));
      await client.read();
      const id = fixture.id();
      const armed = proxy.arm({ when: { bytes: contract.wire.write }, fault, how });
      const error = await failureOf(client.write(id));
      expect(await armed.hit).toMatchObject({ delivered: fault === 'cut-after' });
      expect(isOutcomeUnknown(error)).toBe(true);
      expect(retryInfo(error)).toMatchObject({
        attempts: 1,
        reason: 'outcome-unknown',
        outcome: 'unknown',
      });
      expect(retries).toEqual([]);
      expect(unknowns).toEqual([error]);
      expect(await fixture.countWrites(id)).toBe(traces);
      await client.read();
    },
  );
}

function resolved(fixture: ContractFixture): void {
  it.each(LOST)(
    'finds out what became of a write whose answer was lost (%s, %s), and it is applied once',
    async (how, fault) => {
      const { proxy, contract } = fixture;
      const client = fixture.client();
      const unknowns: unknown[] = [];
      client.policy.on('outcomeUnknown', (event) => unknowns.push(event.error));
      await client.read();
      const id = fixture.id();
      const armed = proxy.arm({ when: { bytes: contract.wire.write }, fault, how });
      await client.write(id);
      expect(await armed.hit).toMatchObject({ delivered: fault === 'cut-after' });
      expect(unknowns).toEqual([]);
      expect(await fixture.countWrites(id)).toBe(1);
      await client.read();
    },
  );
}
