import { ClosedError, type RetryPolicy } from '@outlast/core-retry';
import type { Admin, Kafka as DriverKafka, ISocketFactory, Logger } from 'kafkajs';
import { ADMIN_VERDICTS, type AdminVerdict, classifyAdmin, isLost } from './admin-verdicts.js';
import { classifyKafka } from './classify.js';
import { KafkaJSConnectionError } from './driver.js';
import { listening, passOn } from './instrumentation.js';
import { openPatiently } from './patience.js';
import { Sockets } from './sockets.js';
import { internals, type WireEmitter } from './wire.js';

/** kafkajs' admin client, whose operations get over outages. */
export interface RetryAdmin extends Admin {
  /** Who tells what happens: `admin.policy.on('retry', …)`. */
  readonly policy: RetryPolicy;
}

/** What an admin client is made of. */
export interface AdminOptions {
  readonly policy: RetryPolicy;
  /** How long it waits while no broker can be reached, in milliseconds. */
  readonly waitMs: number;
  /** One attempt and no waiting. */
  readonly once: boolean;
  readonly logger: Logger;
  readonly emitter: WireEmitter;
  readonly socketFactory: ISocketFactory;
  readonly client: (socketFactory: ISocketFactory) => DriverKafka;
  /** Resolves when a broker has answered. @throws its latest error, when `limitMs` are over */
  reach(limitMs: number): Promise<void>;
  /** Closes what `reach` has opened. */
  close(): void;
}

interface Session {
  readonly admin: Admin;
  discard(): void;
}

/**
 * Each operation runs under the policy, with a verdict of its own on what may be done after a lost answer. A
 * client of kafkajs whose connection failed is not used again.
 */
export function createAdmin(options: AdminOptions): RetryAdmin {
  const { policy, logger, emitter } = options;
  const { events } = internals.adminEvents;
  let session: Session | undefined;
  let closed = false;

  const discard = (one: Session): void => {
    one.discard();
    if (session === one) session = undefined;
  };

  const open = async (): Promise<Session> => {
    if (closed) throw new ClosedError('The admin client');
    const standing = session;
    if (standing !== undefined) return standing;
    const made = makeSession(options);
    try {
      await made.admin.connect();
    } catch (error) {
      made.discard();
      throw error;
    }
    if (closed || session !== undefined) {
      made.discard();
      return open();
    }
    session = made;
    return made;
  };

  const opened = (signal: AbortSignal, leftMs: number): Promise<Session> =>
    openPatiently(open, {
      clock: policy.settings.clock,
      limitMs: options.once ? 0 : Math.min(options.waitMs, leftMs),
      signal,
      isTransient: (error) => !closed && classifyKafka(error, 'connect').transient,
      reach: (limitMs) => options.reach(limitMs),
    });

  const run = (name: keyof Admin, verdict: AdminVerdict<never>, args: never[]) => {
    const changes = asked(() => verdict.changes?.(...args)) ?? 0;
    let lost = false;
    return policy.execute(
      async (attempt) => {
        attempt.phase = 'connect';
        const one = await opened(attempt.signal, attempt.remainingMs);
        attempt.phase = 'sent';
        try {
          if (lost && verdict.again) return await verdict.again(one.admin, ...args);
          return await (one.admin[name] as (...args: never[]) => unknown)(...args);
        } catch (error) {
          const failure = classifyAdmin(error, 'sent', changes);
          lost ||= isLost(failure);
          if (failure.category === 'network' || failure.category === 'timeout') discard(one);
          throw error;
        }
      },
      {
        operation: `kafka.admin.${name}`,
        idempotent: asked(() => verdict.safe?.(...args)) ?? true,
        classify: (error, phase) => classifyAdmin(error, phase, changes),
      },
    );
  };

  const operations = Object.fromEntries(
    Object.entries(ADMIN_VERDICTS).map(([name, verdict]) => [
      name,
      async (...args: never[]) =>
        run(name as keyof Admin, verdict as unknown as AdminVerdict<never>, args),
    ]),
  );

  const admin = {
    ...operations,
    policy,
    events,
    logger: (): Logger => logger,
    on: listening('admin', internals.adminEvents, emitter, logger),

    connect: async (): Promise<void> => {
      closed = false;
      await opened(new AbortController().signal, Infinity);
      emitter.emit(events['CONNECT'] as string);
    },

    disconnect: async (): Promise<void> => {
      closed = true;
      const standing = session;
      session = undefined;
      // In good order: what is under way is answered first.
      await standing?.admin.disconnect();
      standing?.discard();
      options.close();
      emitter.emit(events['DISCONNECT'] as string);
    },
  };
  return admin as unknown as RetryAdmin;
}

/** A bad argument is kafkajs' to refuse, in its own words. */
function asked<T>(question: () => T): T | undefined {
  try {
    return question();
  } catch {
    return undefined;
  }
}

function makeSession({ client, socketFactory, emitter }: AdminOptions): Session {
  const sockets = new Sockets(socketFactory);
  const admin = withMetadata(client(sockets.factory).admin());
  passOn(admin, internals.adminEvents, emitter);
  return {
    admin,
    discard: () => {
      sockets.destroy();
      admin.disconnect().catch(() => {});
    },
  };
}

/**
 * kafkajs looks for the leaders of the records to delete before it has asked who they are, and trips over a lost
 * connection while it looks for what its error says of partitions.
 */
function withMetadata(admin: Admin): Admin {
  return {
    ...admin,
    deleteTopicRecords: async (records) => {
      await admin.fetchTopicOffsets(records.topic);
      try {
        return await admin.deleteTopicRecords(records);
      } catch (error) {
        const { cause } = error as { cause?: unknown };
        if (!(cause instanceof TypeError)) throw error;
        throw new KafkaJSConnectionError('Connection error: the answer to DeleteRecords was lost');
      }
    },
  };
}
