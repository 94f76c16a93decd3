import type { RetryPolicy } from '@outlast/core-retry';
import { askHealth, type HealthReport } from '@outlast/core-retry/connector';
import { classifyKafka } from './classify.js';
import type { Engine } from './engine.js';

/** What a health page shows. */
export interface Health extends HealthReport<HealthDetails> {}

interface HealthDetails {
  readonly brokers: readonly {
    readonly nodeId: number;
    readonly host: string;
    readonly port: number;
  }[];
  /** The node id of the controller; -1 if there is none. */
  readonly controller: number;
  readonly clusterId?: string;
  /** Messages that the group has yet to read, if it was asked for. */
  readonly lag?: number;
  /** Publishes that are under way. */
  readonly pending: number;
  /** Bytes of messages that are under way. */
  readonly queuedBytes: number;
}

/**
 * Asks the brokers, without patience. Never rejects.
 *
 * @param ownEngine whether the engine was made for the check and ends with it
 * @param lagOf asks for what a group has yet to read
 */
export async function checkHealth(
  policy: RetryPolicy,
  engine: Engine,
  ownEngine: boolean,
  lagOf?: () => Promise<number>,
): Promise<Health> {
  let lag: number | undefined;
  try {
    return await askHealth({
      operation: 'kafka.healthCheck',
      policy,
      classify: classifyKafka,
      ask: async () => {
        await engine.metadata.refresh();
        lag = await lagOf?.();
      },
      details: () => {
        const { clusterId, brokers, controllerId } = engine.metadata;
        return {
          brokers,
          controller: controllerId,
          ...(clusterId !== undefined && { clusterId }),
          ...(lag !== undefined && { lag }),
          pending: engine.ledger.size,
          queuedBytes: engine.ledger.bytes,
        };
      },
    });
  } finally {
    if (ownEngine) engine.close();
  }
}
