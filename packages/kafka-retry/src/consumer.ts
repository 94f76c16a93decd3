import { ClosedError, type RetryPolicy } from '@outlast/core-retry';
import type { Admin, Consumer, ConsumerSubscribeTopic, ConsumerSubscribeTopics } from 'kafkajs';
import { Alerts } from './alerts.js';
import {
  CONSUMER_DEFAULTS,
  checkRun,
  type GraceOptions,
  graceOf,
  type RetryConsumer,
  type RetryConsumerConfig,
  type RetryRunConfig,
} from './consumer-options.js';
import type { ConsumerParts } from './consumer-parts.js';
import { Destinations } from './destinations.js';
import { eachBatchOf } from './each-batch.js';
import { eachMessageOf } from './each-message.js';
import { misuse } from './errors.js';
import { Failing } from './failing.js';
import { Fate } from './fate.js';
import { Forwarder } from './forwarder.js';
import { Guards } from './guards.js';
import { Outages } from './outages.js';
import { Pauses } from './pauses.js';
import type { RetryProducer } from './producer.js';
import { atMost } from './time-limit.js';
import { untilReached } from './until-reached.js';
import { Waiting } from './waiting.js';

const HEARTBEAT_INTERVAL_MS = 3000;
/** How often it is looked whether a retry topic that was missing has been made. */
const WATCH_MS = 5000;
/** What a handler gets that has been told to end. */
const LAST_MS = 1000;

/** What a consumer needs beside kafkajs' own. */
export interface ConsumerNeeds {
  readonly policy: RetryPolicy;
  /** How long `connect()` and `subscribe()` wait for a broker, in milliseconds. */
  readonly waitMs: number;
  readonly config: RetryConsumerConfig;
  readonly producer: () => RetryProducer;
  readonly admin: () => Admin;
}

/**
 * A consumer whose handlers' errors never reach kafkajs, where the sixth of them ends it and a TypeError ends it for
 * good. A message that fails is handed out again, after a delay, for ever, or goes where it was said to; its partition
 * waits for it, the others do not, and the group hears of this member all the while.
 */
export function createConsumer(driver: Consumer, needs: ConsumerNeeds): RetryConsumer {
  const { policy, waitMs: patienceMs, config, producer, admin } = needs;
  const { clock, maxAttempts } = policy.settings;
  const { groupId, retryTopics, deadLetter, onFailure = 'retry' } = config;
  const heartbeatIntervalMs = config.heartbeatInterval ?? HEARTBEAT_INTERVAL_MS;
  const waitMs = config.maxWaitTimeInMs ?? CONSUMER_DEFAULTS.maxWaitTimeInMs;
  const earlyMs = Math.min(waitMs, CONSUMER_DEFAULTS.maxWaitTimeInMs);
  const alerts = new Alerts(policy);
  const destinations = new Destinations({ groupId, retryTopics, deadLetter, admin, alerts });
  const failing = new Failing(policy);
  const forwarder = new Forwarder(groupId, producer);
  const guards = new Guards(heartbeatIntervalMs);
  const pauses = new Pauses(driver, clock, earlyMs);
  const topics = new Set<string>();
  let stopped = false;
  let watch: { cancel(): void } | undefined;
  let running: RetryRunConfig = {};
  let before = new AbortController();
  const whenReached = untilReached(policy, patienceMs);
  const isStopped = (): boolean => stopped;

  const halt = (): void => {
    stopped = true;
    outages.end();
    watch?.cancel();
    pauses.clear();
    before.abort(new ClosedError('The consumer'));
    before = new AbortController();
  };
  const stop = (): Promise<void> => {
    halt();
    guards.abort(new Error('The consumer is being stopped.'));
    return driver.stop();
  };
  const fate = new Fate({
    ...{ policy, alerts, destinations, failing, forwarder, pauses, onFailure, isStopped },
    // It waits for the handlers, of which one has asked for it.
    stop: () => void stop().catch(() => {}),
  });
  const waiting = new Waiting(pauses, clock, earlyMs);
  const parts: ConsumerParts = {
    ...{ clock, destinations, failing, fate, guards, pauses, waiting },
    ...{ heartbeatIntervalMs, maxAttempts, isStopped, rests: new Map() },
  };

  const start = (run: RetryRunConfig): Promise<void> => {
    const { eachMessage, eachBatch, ...rest } = run;
    const handler =
      eachMessage !== undefined
        ? eachMessageOf(parts, run, eachMessage)
        : eachBatch && eachBatchOf(parts, run, eachBatch);
    // kafkajs would call a batch done whose handler has only returned.
    const ours = handler !== undefined && { eachBatch: handler, eachBatchAutoResolve: false };
    return driver.run({ ...rest, ...ours });
  };

  /** What was put there before they are read is not to be passed over. */
  const readRetryTopics = async (found: readonly string[]): Promise<void> => {
    if (found.length === 0) return;
    const retries = { topics: [...found], fromBeginning: true };
    await whenReached(() => driver.subscribe(retries), before.signal);
    destinations.areRead(found);
  };
  /** Retry topics that were missing are read as soon as they are there. */
  const lookForMissing = async (): Promise<void> => {
    const found = await destinations.prepare([...topics]);
    if (found.length === 0 || stopped) return;
    await driver.stop();
    try {
      if (!stopped) await readRetryTopics(found);
    } finally {
      if (!stopped) await start(running);
    }
  };
  const watchMissing = (): void => {
    if (destinations.missing.length === 0 || stopped) return;
    watch = clock.setTimeout(() => {
      // Whatever has gone wrong, it looks again.
      lookForMissing()
        .catch(() => {})
        .finally(watchMissing);
    }, WATCH_MS);
  };

  driver.on(driver.events.GROUP_JOIN, () => {
    pauses.renew();
    fate.rejoined();
  });
  const asksCaller = config.retry?.restartOnFailure !== undefined;
  const restart = (): Promise<void> => start(running);
  const outages = new Outages({ driver, policy, alerts, asksCaller, restart });

  return {
    ...driver,
    policy,
    connect: () => {
      const { signal } = before;
      return whenReached(async () => {
        await driver.connect();
        // It was called off meanwhile: nobody else would close what it has opened.
        if (signal.aborted) await driver.disconnect();
      }, signal);
    },
    subscribe: async (what: ConsumerSubscribeTopic | ConsumerSubscribeTopics): Promise<void> => {
      if (retryTopics === undefined && deadLetter === undefined) {
        return whenReached(() => driver.subscribe(what), before.signal);
      }
      const given = 'topics' in what ? what.topics : [what.topic];
      let names = given as string[];
      // kafkajs would let a pattern match the consumer's own dead letters.
      if (Array.isArray(given) && given.some((one) => one instanceof RegExp)) {
        names = await destinations.matching(given);
      }
      if (Array.isArray(names) && deadLetter !== undefined && names.includes(deadLetter.topic)) {
        throw misuse(
          `A consumer cannot read ${deadLetter.topic} and write its dead letters there.`,
        );
      }
      const { fromBeginning } = what;
      const named = { topics: names, ...(fromBeginning !== undefined && { fromBeginning }) };
      await whenReached(() => driver.subscribe(named), before.signal);
      destinations.addTopics(names);
      for (const name of names) topics.add(name);
    },
    run: async (run: RetryRunConfig = {}): Promise<void> => {
      checkRun(run, retryTopics);
      stopped = false;
      running = run;
      outages.begin();
      await readRetryTopics(await destinations.prepare([...topics]));
      if (stopped) return;
      await start(run);
      watchMissing();
    },
    seek: (where) => {
      // What is asked for again is handed out again.
      parts.rests.delete(`${where.partition}:${where.topic}`);
      driver.seek(where);
    },
    pause: (what) => pauses.pause(what),
    resume: (what) => pauses.resume(what),
    stop,
    disconnect: async () => {
      await stop();
      await driver.disconnect();
      await forwarder.close();
    },
    shutdown: async (options: GraceOptions = {}) => {
      const graceMs = graceOf(options);
      const endAt = clock.now() + graceMs;
      halt();
      const stopping = driver.stop();
      if ((await atMost(graceMs, stopping, clock)) === 'late') {
        guards.abort(new Error('The consumer is being shut down.'));
        if ((await atMost(LAST_MS, stopping, clock)) === 'late') guards.leave();
      }
      await driver.disconnect();
      await forwarder.close(Math.max(0, endAt - clock.now()));
    },
  };
}
