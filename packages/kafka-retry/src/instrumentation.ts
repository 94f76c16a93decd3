import type { Logger } from 'kafkajs';
import { KafkaJSNonRetriableError } from './driver.js';
import type { InstrumentationEvents, WireEmitter } from './wire.js';

/** What `on` of kafkajs' producers and admin clients does, for one of ours. */
export function listening(
  kind: 'producer' | 'admin',
  { events, wrap, unwrap }: InstrumentationEvents,
  emitter: WireEmitter,
  logger: Logger,
): (name: string, listener: (event: never) => unknown) => () => void {
  return (name, listener) => {
    if (!Object.values(events).includes(name)) {
      const names = Object.keys(events).map((key) => `${kind}.events.${key}`);
      throw new KafkaJSNonRetriableError(`Event name should be one of ${names.join(', ')}`);
    }
    return emitter.addListener(unwrap(name), (event) => {
      event.type = wrap(event.type);
      // What a listener throws is its own affair, as in kafkajs.
      new Promise((resolve) => resolve(listener(event as never))).catch((error: Error) =>
        logger.error(`Failed to execute listener: ${error.message}`, { eventName: name }),
      );
    });
  };
}

interface Source {
  readonly events: unknown;
  on(name: never, listener: (event: { payload: unknown }) => void): unknown;
}

/** Passes on what a client of kafkajs that we made tells of its network. */
export function passOn(
  source: Source,
  { events, unwrap }: InstrumentationEvents,
  emitter: WireEmitter,
): void {
  for (const key of ['REQUEST', 'REQUEST_TIMEOUT', 'REQUEST_QUEUE_SIZE']) {
    const name = events[key] as string;
    source.on(name as never, ({ payload }) => emitter.emit(unwrap(name), payload));
  }
}
