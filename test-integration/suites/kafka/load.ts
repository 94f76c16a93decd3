import { isOutcomeUnknown, type RetryProducer, retryInfo } from '@outlast/kafka-retry';
import type { Producer } from 'kafkajs';
import type { LoggedMessage } from '../../servers/index.js';

/** What callers were told of the messages that they sent, by value. */
export interface Told {
  readonly acknowledged: Set<string>;
  readonly unknown: Set<string>;
  /** Rejected as not applied, or by a driver that does not say. */
  readonly failed: Set<string>;
  readonly errors: unknown[];
  /** The longest that one send took, in milliseconds. */
  worstMs: number;
}

interface LoadOptions {
  readonly topic: string;
  /** Stands before the values, so that those of several loads differ. */
  readonly name?: string;
  readonly callers: number;
  /** `true` (default): each caller has a key of its own. */
  readonly keyed?: boolean;
  /** Messages a send. Default 1. */
  readonly size?: number;
  /** How many sends each caller has under way at once. Default 1. */
  readonly depth?: number;
  /** One send to all of these partitions, by `sendBatch`. */
  readonly partitions?: number;
  /** A pause after each send, in milliseconds. Default 0. */
  readonly pauseMs?: number;
}

/** Callers that send without pause until told to stop. Values are `<name><caller>-<n>`, counting up for each caller. */
function startSending(
  producer: RetryProducer | Producer,
  options: LoadOptions,
): { readonly told: Told; stop(): Promise<Told> } {
  const { topic, name = 'c', callers, keyed = true, size = 1, depth = 1 } = options;
  const { partitions, pauseMs = 0 } = options;
  const told: Told = {
    acknowledged: new Set(),
    unknown: new Set(),
    failed: new Set(),
    errors: [],
    worstMs: 0,
  };
  let running = true;
  const worker = async (caller: number): Promise<void> => {
    let n = 0;
    const send = async (): Promise<void> => {
      const values: string[] = [];
      const messages = Array.from({ length: partitions ?? size }, (_, i) => {
        const value = `${name}${caller}-${n++}`;
        values.push(value);
        const key = keyed ? `${name}${caller}` : null;
        return { key, value, ...(partitions !== undefined && { partition: i }) };
      });
      const start = performance.now();
      try {
        await producer.send({ topic, messages });
        for (const value of values) told.acknowledged.add(value);
      } catch (error) {
        const unknown = isOutcomeUnknown(error);
        for (const value of values) (unknown ? told.unknown : told.failed).add(value);
        if (told.errors.length < 20) told.errors.push(error);
      }
      told.worstMs = Math.max(told.worstMs, performance.now() - start);
    };
    while (running) {
      await Promise.all(Array.from({ length: depth }, send));
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  const workers = Promise.all(Array.from({ length: callers }, (_, caller) => worker(caller)));
  return {
    told,
    async stop() {
      running = false;
      await workers;
      return told;
    },
  };
}

/** Messages that stand behind a later one of the same caller in the same partition. */
export function disorder(messages: readonly LoggedMessage[]): string[] {
  const latest = new Map<string, number>();
  const wrong: string[] = [];
  for (const { partition, value } of messages) {
    const [caller, n] = `${value}`.split('-') as [string, string];
    const key = `${partition}:${caller}`;
    const before = latest.get(key) ?? -1;
    if (Number(n) < before) wrong.push(`${value}`);
    latest.set(key, Math.max(before, Number(n)));
  }
  return wrong;
}

/** What a test prints of a run. */
export function summary(told: Told): string {
  const { acknowledged, unknown, failed, worstMs, errors } = told;
  const first = errors[0] as Error | undefined;
  const why = first && `; first error: ${first.name} ${first.message} ${retryInfo(first)?.reason}`;
  return `${acknowledged.size} acknowledged, ${unknown.size} unknown, ${failed.size} failed, slowest ${Math.round(worstMs)} ms${why ?? ''}`;
}

/** Sixty callers: keyed ones with three sends under way each, serial ones, key-less ones, and one send to all partitions. */
export function startMixed(
  producer: RetryProducer | Producer,
  topic: string,
  partitions: number,
): { readonly told: () => Told; stop(): Promise<Told> } {
  const kinds: LoadOptions[] = [
    { topic, name: 'deep', callers: 20, depth: 3 },
    { topic, name: 'serial', callers: 20 },
    { topic, name: 'keyless', callers: 15, keyed: false },
    { topic, name: 'all', callers: 5, partitions },
  ];
  const loads = kinds.map((kind) => startSending(producer, kind));
  const told = (): Told => fold(loads.map((load) => load.told));
  return {
    told,
    async stop() {
      await Promise.all(loads.map((load) => load.stop()));
      return told();
    },
  };
}

function fold(all: readonly Told[]): Told {
  return {
    acknowledged: new Set(all.flatMap((one) => [...one.acknowledged])),
    unknown: new Set(all.flatMap((one) => [...one.unknown])),
    failed: new Set(all.flatMap((one) => [...one.failed])),
    errors: all.flatMap((one) => one.errors),
    worstMs: Math.max(...all.map((one) => one.worstMs)),
  };
}
