import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RetryPolicy } from '@outlast/core-retry';
import kafkajs, { type RecordMetadata } from 'kafkajs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Delivery } from '../src/delivery.js';
import type { Engine } from '../src/engine.js';
import { isSpoolFullError } from '../src/errors.js';
import type { Publish } from '../src/publish.js';
import { recordOf } from '../src/records.js';
import { Spooling } from '../src/spooling.js';

const { logLevel } = kafkajs;
const logger = new kafkajs.Kafka({ brokers: ['x:1'], logLevel: logLevel.NOTHING }).logger();

/** An engine that stores what it is given, in order, one after the other, unless its brokers are away. */
class ModelEngine {
  readonly ledger: object;
  readonly log: string[] = [];
  readonly pending = new Map<Publish, string>();
  isDown = false;
  bytes = 0;
  running = false;
  onDown: () => void = () => {};

  constructor() {
    const { pending } = this;
    const bytes = (): number => this.bytes;
    this.ledger = {
      get bytes() {
        return bytes();
      },
      get size() {
        return pending.size;
      },
      publishes: () => pending.keys(),
    };
  }

  accept(publish: Publish, records: readonly { records: readonly { value: unknown }[] }[]): void {
    this.pending.set(publish, `${records[0]?.records[0]?.value}`);
    this.bytes += publish.bytes;
    void this.work();
  }

  down(): void {
    this.isDown = true;
    this.onDown();
  }

  up(): void {
    this.isDown = false;
    void this.work();
  }

  async work(): Promise<void> {
    if (this.running) return;
    this.running = true;
    while (this.pending.size > 0 && !this.isDown) {
      await sleep(1);
      const first = [...this.pending].slice(0, 20);
      for (const [publish, value] of first) {
        if (this.isDown) break;
        this.pending.delete(publish);
        this.bytes -= publish.bytes;
        this.log.push(value);
        publish.resolve([{ topicName: 't', partition: 0, errorCode: 0 }]);
      }
    }
    this.running = false;
  }
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'outlast-spooling-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function make(maxBytes: number, overflow: 'wait' | 'reject' = 'wait') {
  const engine = new ModelEngine();
  const policy = new RetryPolicy();
  const spooling = new Spooling({
    settings: { directory, maxBytes, fsync: false },
    policy,
    logger,
    maxQueueBytes: 50_000,
    overflow,
    engine: () => engine as unknown as Engine,
  });
  engine.onDown = () => spooling.keepAll([...engine.pending.keys()]);
  const send = (value: string, timeMs = 20_000): Promise<RecordMetadata[]> =>
    new Promise((resolve, reject) => {
      const messages = [{ value }];
      const records = messages.map((message) => recordOf('t', message, 0, true));
      const topics = [{ topic: 't', messages, records, firstIndex: 0 }];
      const kind = { acks: -1, timeoutMs: 30_000, compression: 0 };
      const now = policy.settings.clock.now();
      const bounds = { deadline: now + timeMs, signal: undefined };
      spooling.accept(new Delivery(kind, topics, { resolve, reject }), now, bounds);
    });
  return { engine, spooling, send };
}

describe('sends past a spool', () => {
  it('arrive once and in order, whenever the brokers go and come', async () => {
    const { engine, spooling, send } = make(1e7);
    const sends: Promise<unknown>[] = [];
    for (let i = 0; i < 3000; i++) {
      sends.push(send(`${i}`));
      if (i % 170 === 60) engine.down();
      if (i % 170 === 130) engine.up();
      if (i % 13 === 0) await sleep(1);
    }
    await Promise.all(sends);
    engine.up();
    await spooling.flushed();
    while (engine.pending.size > 0) await sleep(5);
    expect(engine.log).toEqual(Array.from({ length: 3000 }, (_, i) => `${i}`));
    await spooling.close();
    expect(readdirSync(directory).filter((name) => name.endsWith('.spool'))).toEqual([]);
  });

  it('wait for room in order, and go on when there is some', async () => {
    const { engine, spooling, send } = make(100_000);
    engine.down();
    const values = Array.from({ length: 400 }, (_, i) => `${i}`.padEnd(1000, ' '));
    let durable = 0;
    const sends = values.map((value) => send(value).then(() => durable++));
    await expect.poll(() => durable).toBeGreaterThan(50);
    expect(durable).toBeLessThan(100);
    engine.up();
    await Promise.all(sends);
    await spooling.flushed();
    while (engine.pending.size > 0) await sleep(5);
    expect(engine.log.map(Number)).toEqual(values.map((_, i) => i));
    await spooling.close();
  });

  it('are refused, typed, when there was no room for all their time', async () => {
    const { engine, spooling, send } = make(70_000);
    await spooling.open();
    engine.down();
    const late = Array.from({ length: 100 }, () =>
      send('x'.repeat(1000), 50).catch((error) => error),
    );
    const refused = (await Promise.all(late)).filter(isSpoolFullError);
    expect(refused.length).toBeGreaterThan(30);
    engine.up();
    await spooling.flushed();
    await expect.poll(() => engine.log.length).toBe(100 - refused.length);
    await spooling.close();
  });
});
