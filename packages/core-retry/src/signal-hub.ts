type Callback = (reason: unknown) => void;

const hubs = new WeakMap<AbortSignal, Hub>();

interface Hub {
  readonly callbacks: Set<Callback>;
  readonly listener: () => void;
}

/**
 * Calls back when the signal aborts. However many calls watch one signal, it carries one listener
 * (Node warns at the eleventh), and none when nobody watches.
 *
 * @returns how to stop watching
 */
export function onAbort(signal: AbortSignal, callback: Callback): () => void {
  let hub = hubs.get(signal);
  if (hub === undefined) {
    hub = makeHub(signal);
    hubs.set(signal, hub);
  }
  const { callbacks, listener } = hub;
  if (callbacks.size === 0) signal.addEventListener('abort', listener, { once: true });
  callbacks.add(callback);
  return () => {
    if (callbacks.delete(callback) && callbacks.size === 0) {
      signal.removeEventListener('abort', listener);
    }
  };
}

function makeHub(signal: AbortSignal): Hub {
  const callbacks = new Set<Callback>();
  const listener = (): void => {
    const waiting = [...callbacks];
    callbacks.clear();
    for (const callback of waiting) callback(signal.reason);
  };
  return { callbacks, listener };
}
