import { randomUUID } from 'node:crypto';
import type { ConnectorRetryOptions } from '@outlast/core-retry/connector';
import { afterAll, afterEach, beforeEach, describe } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import { waitFor } from '../../servers/index.js';
import type { Contract, ContractClient, ContractService } from './contract.js';

/** One service, a proxy for each case, and clients that are closed after it. */
export class ContractFixture {
  readonly contract: Contract;
  readonly service: ContractService;
  proxy!: FaultProxy;
  readonly #clients = new Set<ContractClient>();

  constructor(contract: Contract, service: ContractService) {
    this.contract = contract;
    this.service = service;
  }

  use(): void {
    beforeEach(async () => {
      const { port: targetPort, proxyPort: port } = this.service;
      this.proxy = await startProxy({ targetPort, ...(port !== undefined && { port }) });
    });
    afterEach(async () => {
      for (const client of this.#clients) await this.close(client);
      await this.proxy.close();
      await waitFor(async () => (await this.service.connections()) === 0, {
        what: 'the service to be rid of all our connections',
      });
    });
    afterAll(() => this.service.dispose());
  }

  /** Through the proxy. */
  client(retry?: ConnectorRetryOptions): ContractClient {
    const client = this.contract.makeClient(this.proxy.port, retry);
    this.#clients.add(client);
    return client;
  }

  async close(client: ContractClient): Promise<void> {
    if (this.#clients.delete(client)) await client.close();
  }

  /** How many traces one write has left. */
  async countWrites(id: string): Promise<number> {
    return (await this.service.writes()).get(id) ?? 0;
  }

  /** For one write. */
  id(): string {
    return randomUUID();
  }
}

/** A `describe` around the cases; where there is no service it is skipped, and says why. */
export function describeWith(
  contract: Contract,
  service: ContractService | { readonly skipped: string },
  cases: (fixture: ContractFixture) => void,
): void {
  const reason = 'skipped' in service ? service.skipped : '';
  if (reason !== '') console.warn(reason);
  describe.skipIf(reason !== '')(`the contract of ${contract.name} ${reason}`, () => {
    const fixture = new ContractFixture(contract, service as ContractService);
    fixture.use();
    cases(fixture);
  });
}
