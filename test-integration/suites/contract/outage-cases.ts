import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { startChild } from '../support/child.js';
import { ending } from '../support/errors.js';
import type { ContractFixture } from './fixture.js';

const WORKERS = 10;

/** The service cannot be reached. */
export function outageCases(fixture: ContractFixture): void {
  it('waits for a service that is down when the client is made, and reports one outage', async () => {
    const { service, proxy, contract } = fixture;
    // Behind a proxy that takes connections, what needs no handshake would be sent.
    const refused = contract.handshake === false;
    if (refused) proxy.refuse();
    await service.stop();
    const client = fixture.client();
    const told: string[] = [];
    client.policy.on('down', () => told.push('down'));
    client.policy.on('up', () => told.push('up'));
    const id = fixture.id();
    const pending = Promise.all([client.read(), client.write(id), client.read()]);
    pending.catch(() => {});
    await waitFor(() => (refused ? told.length > 0 : proxy.counts.unreachable >= 3), {
      what: 'connects in vain',
    });
    expect(told).toEqual(['down']);
    await service.start();
    if (refused) await proxy.accept();
    await pending;
    expect(await fixture.countWrites(id)).toBe(1);
    await client.read();
    expect(told).toEqual(['down', 'up']);
  });

  it('on pure defaults, survives an outage of 10 s without an error for what was never sent', async () => {
    const { proxy } = fixture;
    const client = fixture.client();
    await client.read();
    proxy.refuse();
    proxy.cutAll();
    const ids = Array.from({ length: WORKERS }, () => fixture.id());
    const reads = ids.map(() => ending(client.read()));
    const writes = ids.map((id) => ending(client.write(id)));
    await sleep(10_000);
    const back = performance.now();
    await proxy.accept();
    await Promise.race([...reads, ...writes]);
    const gapMs = performance.now() - back;
    const ended = await Promise.all([...reads, ...writes]);
    expect(ended.filter((one) => !one.ok)).toEqual([]);
    for (const id of ids) expect(await fixture.countWrites(id)).toBe(1);
    expect(gapMs).toBeLessThan(500);
  });

  it('dials a service that crashes again and again at most six times a second', async () => {
    const { proxy } = fixture;
    const client = fixture.client({ maxAttempts: 1000, baseDelayMs: 20, waitMs: 30_000 });
    await client.read();
    const before = proxy.counts.connections;
    let running = true;
    let answers = 0;
    const workers = Array.from({ length: WORKERS }, async () => {
      while (running) {
        await client.read();
        answers += 1;
        await sleep(2);
      }
    });
    const all = Promise.all(workers);
    all.catch(() => {});
    const rounds = 6;
    for (let round = 0; round < rounds; round++) {
      proxy.refuse();
      proxy.cutAll();
      await sleep(800);
      await proxy.accept();
      await sleep(200);
    }
    const connects = proxy.counts.connections - before;
    running = false;
    await all;
    expect(answers).toBeGreaterThan(rounds);
    expect(connects).toBeGreaterThanOrEqual(rounds);
    expect(connects).toBeLessThanOrEqual(6 * rounds);
  });

  it('keeps a process alive while it waits, and lets it exit when its client is closed', async () => {
    const { proxy, contract } = fixture;
    proxy.refuse();
    const child = await startChild(contract.program, { PORT: String(proxy.port) });
    await waitFor(() => child.stdout.includes('waiting'), { what: 'the program to wait' });
    // It has nothing else to live for; an unref'd timer would have let it go by now.
    await sleep(500);
    expect(child.running).toBe(true);
    await proxy.accept();
    const { code, stdout, stderr } = await child.end;
    expect(stderr).toBe('');
    expect(stdout.trim().split('\n')).toEqual(['waiting', 'done']);
    expect(code).toBe(0);
  });
}
