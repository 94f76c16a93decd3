/** How the drill counts, for the report. */
export const METHOD: readonly string[] = [
  'Three applications, twenty workers each, do the same operations in the same order against one server: 40 % reads, 40 % writes through the pool, 20 % transactions (one row and one count). Each has tables of its own and a fault proxy of its own.',
  'Faults of the server (restarts, the outage, kill -9, killed sessions) hit all three at the same moment. Cuts of single requests are drawn from the seed and armed in all three proxies at once: the next matching request of each application is hit.',
  'The verdict is counted from the rows in the database, after all workers have gone home and no session is left, over a connection that no proxy touches. Ids are made by the client and have no unique constraint, so a row written twice is there twice. A counter is counted up by one worker only and each step brings its new value back (LAST_INSERT_ID), so a step too many shows.',
  'Failed but applied: the application was given an error, and what it wrote is there. Lost: it was acknowledged, and is not there. Doubled: it is there once more than anybody asked for. Where a counter leaves open whether a step came from an operation that failed or from one that was repeated, it is put down to the one that failed.',
  'Ours runs with its defaults, and its transactions with commitMarker: true. Its plain writes may answer “outcome unknown”, typed, where the answer was lost and nobody asked for more; writes with resolveWrites: true and transactions may not.',
  'An outage lasts from the signal to the server until it answers a query again. The longest gap is the longest time in which no operation of a lane succeeded.',
  'The operations acknowledged are no benchmark: all of it runs in one Node.js process, and ours does two in five of its plain writes as transactions of their own (resolveWrites), which is three round trips more, and each transaction of its has one more.',
];
