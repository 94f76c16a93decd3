/** How the drill counts, for the report. */
export const METHOD: readonly string[] = [
  'Four applications, twenty workers each on five producers, send the same messages in the same order to one broker, each to a topic of its own with three partitions: 50 % of the sends are one message with a key, 30 % one without, 20 % three messages, one for each partition. Each application has a fault proxy of its own; the broker names it to its clients as its address.',
  'Faults of the broker (restart, kill -9, frozen by SIGSTOP, down) hit all of them at the same moment. Cuts are drawn from the seed and armed in all proxies at once: the next Produce request of each application is hit, and with it everything that is in flight on its connection.',
  'Swallowed: the request reaches the broker and is stored; when the broker answers, the connection is reset, and the answer never arrives.',
  'The verdict is counted from the log after all workers have gone home, by a consumer that no proxy touches. Every message has a value of its own, so a message stored twice is there twice.',
  'Failed but applied: the application was given an error, and the message is there. Lost: it was acknowledged, and is not there. Doubled: it is there once more than anybody asked for.',
  'kafkajs sends again what got no answer, under its default settings, and doubles what had been stored. With idempotent: true it numbers its messages, but takes numbers back when a request fails: the next message then goes out under a number that the broker has seen, is taken for a copy, acknowledged and dropped. The loop by hand (retries: 0, five tries by p-retry) doubles by itself.',
  'Ours runs with its defaults. It may answer “outcome unknown”, typed, when it gives up; nothing in this drill lasts that long.',
  'An outage lasts from the signal to the broker until it stores a message again, asked past the proxies on new connections. The longest gap is the longest time in which no send of a lane succeeded.',
  'The operations acknowledged are no benchmark: all of it runs in one Node.js process, and most of it waits.',
];
