/** How the drill counts, for the report. */
export const METHOD: readonly string[] = [
  'Four applications, fifty workers each on one connection, do the same operations in the same order against one server: 40 % GET, 20 % INCR, 15 % RPUSH, 15 % INCR “exactly once”, 10 % MULTI with INCR and RPUSH. Each has keys of its own and a fault proxy of its own.',
  'Faults of the server (restart, outage, kill -9 twice) hit all of them at the same moment. The server runs with appendfsync always, so that what it acknowledged survives. Cuts are drawn from the seed and armed in all proxies at once: the next matching request of each application is hit, and with it everything that is in flight on its connection.',
  'Swallowed: the request and what follows it reach the server and are executed; for 5 ms no answer comes back; then the connection is reset.',
  'The verdict is counted from what Redis holds after all workers have gone home, over a connection that no proxy touches. Ids are pushed onto lists, so an id written twice is there twice. A counter is counted up by one worker only and each INCR returns the new value, so a step too many shows.',
  'Failed but applied: the application was given an error, and what it wrote is there. Lost: it was acknowledged, and is not there. Doubled: it is there once more than anybody asked for. Where a counter leaves open whether a step came from an operation that failed or from one that was repeated, it is put down to the one that failed.',
  'ioredis resends whatever was in flight when its connection comes back, and says nothing: it shows no error and doubles. The loop by hand (maxRetriesPerRequest: 0, five tries) does the same by itself. Both have an error listener, without which ioredis prints every lost connection.',
  'Ours runs with its defaults. Its INCR, RPUSH and EXEC may answer “outcome unknown”, typed, where the answer was lost; exactlyOnce(id) may not. The other applications have no such thing and write plainly instead.',
  'An outage lasts from the signal to the server until it answers PING again. The longest gap is the longest time in which no operation of a lane succeeded.',
  'The operations acknowledged are no benchmark: all of it runs in one Node.js process.',
];
