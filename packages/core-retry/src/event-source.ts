import type { PolicyEventOf, PolicyEventType, PolicyListener } from './events.js';

/** Whatever reports events: a RetryPolicy, a RetryManager, the `.policy` of a connector. */
export interface EventSource {
  on<T extends PolicyEventType>(type: T, listener: PolicyListener<T>): () => void;
}

/** A listener for each type of event that is of interest. */
export type Listeners = { readonly [T in PolicyEventType]?: (event: PolicyEventOf<T>) => void };

/**
 * Listens to several types of events; if the source refuses one of them, to none.
 *
 * @returns how to stop listening; may be called again
 * @throws what the source throws
 */
export function listen(source: EventSource, listeners: Listeners): () => void {
  const offs: (() => void)[] = [];
  const stop = (): void => {
    for (const off of offs.splice(0)) off();
  };
  try {
    for (const type of Object.keys(listeners) as PolicyEventType[]) {
      offs.push(source.on(type, listeners[type] as PolicyListener<PolicyEventType>));
    }
  } catch (error) {
    stop();
    throw error;
  }
  return stop;
}
