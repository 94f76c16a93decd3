import { isOutcomeUnknown, retryInfo } from '@outlast/core-retry';
import { expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending } from '../support/errors.js';
import type { ContractClient } from './contract.js';
import type { ContractFixture } from './fixture.js';

const WORKERS = 10;

interface Ledger {
  reads: number;
  readonly readErrors: unknown[];
  readonly written: Map<string, 'ok' | 'unknown' | 'not-applied' | 'unmarked'>;
}

/** Reads and writes without pause until told to stop. */
function startLoad(client: ContractClient, newId: () => string) {
  const ledger: Ledger = { reads: 0, readErrors: [], written: new Map() };
  let running = true;
  const worker = async (): Promise<void> => {
    while (running) {
      const id = newId();
      const write = await ending(client.write(id));
      if (write.ok) ledger.written.set(id, 'ok');
      else if (isOutcomeUnknown(write.error)) ledger.written.set(id, 'unknown');
      else ledger.written.set(id, retryInfo(write.error)?.outcome ?? 'unmarked');
      const read = await ending(client.read());
      ledger.reads += 1;
      if (!read.ok) ledger.readErrors.push(read.error);
    }
  };
  const workers = Promise.all(Array.from({ length: WORKERS }, worker));
  const stop = async (): Promise<Ledger> => {
    running = false;
    await workers;
    return ledger;
  };
  return { ledger, stop };
}

/** The service goes away in the middle of work, and comes back. */
export function loadCases(fixture: ContractFixture): void {
  it.each([
    ['restarted', 'stop'],
    ['killed -9', 'kill9'],
  ] as const)(
    'under load, a service that is %s costs no read, and no write twice',
    async (_, end) => {
      const { service, contract } = fixture;
      const { load: reads = 200 } = contract;
      const client = fixture.client();
      const load = startLoad(client, () => fixture.id());
      const { ledger } = load;
      await waitFor(() => ledger.reads >= reads, { what: 'the load to run' });
      await service[end]();
      await service.start();
      const before = ledger.reads;
      await waitFor(() => ledger.reads >= before + reads, { what: 'the load to run again' });
      const { readErrors, written } = await load.stop();

      expect(readErrors).toEqual([]);
      const outcomes = [...written.values()];
      expect(outcomes.filter((one) => one !== 'ok' && one !== 'unknown')).toEqual([]);
      expect(outcomes.filter((one) => one === 'ok').length).toBeGreaterThan(reads / 2);
      for (const [id, outcome] of written) {
        const traces = await fixture.countWrites(id);
        if (outcome === 'ok') expect([id, traces]).toEqual([id, 1]);
        else expect([0, 1]).toContain(traces);
      }
    },
  );
}
