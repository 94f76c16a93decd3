import type { Numbered } from './sequence.js';

/** What to do after a broker has answered about a batch. */
export type Verdict =
  /** It is in the log. */
  | 'stored'
  /** The identical batch again. */
  | 'retry'
  /** Other numbers under the same producer id, then again: nothing of it was ever stored. */
  | 'start-over'
  /** Other numbers under a new producer id, then again: nothing of it was ever stored. */
  | 'renew'
  /** One of its messages is refused: in two halves again. */
  | 'split'
  /** Refused for good, and nothing of it was ever stored. */
  | 'refuse'
  /** It will not be found out whether it was stored. */
  | 'give-up';

interface Row {
  /** Whether the broker may have stored the batch before it answered so. */
  readonly stored: 'yes' | 'no' | 'maybe';
  /** `each`: one message may be the reason. `limited`: a few times, then it is believed. */
  readonly next: 'retry' | 'refuse' | 'each' | 'limited' | 'numbers';
}

/** How often a code that is rarely true is asked again before it is believed. */
export const MOST_ASKED = 6;

const maybe: Row = { stored: 'maybe', next: 'retry' };
const refused: Row = { stored: 'no', next: 'refuse' };
const oneOfThem: Row = { stored: 'no', next: 'each' };
const waits: Row = { stored: 'no', next: 'retry' };
const numbers: Row = { stored: 'no', next: 'numbers' };

/**
 * The codes of a produce reply with `acks: -1`. Measured on Kafka 4.1 and 3.9: 3, 6, 7, 20 and 56 are also
 * given after the leader has appended (6 as the only answer to a message that is in the log, 3 of 3).
 */
const ROWS: ReadonlyMap<number, Row> = new Map([
  [0, { stored: 'yes', next: 'retry' }],
  [46, { stored: 'yes', next: 'retry' }],
  [2, { stored: 'no', next: 'limited' }],
  [3, maybe],
  [5, maybe],
  [6, maybe],
  [7, maybe],
  [9, maybe],
  [13, maybe],
  [20, maybe],
  [56, maybe],
  [72, maybe],
  [74, maybe],
  [75, maybe],
  [19, waits],
  [89, waits],
  [10, oneOfThem],
  [18, oneOfThem],
  [32, oneOfThem],
  [87, oneOfThem],
  [17, refused],
  [21, refused],
  [29, refused],
  [31, refused],
  [35, refused],
  [42, refused],
  [43, refused],
  [44, refused],
  [58, refused],
  [76, refused],
  [45, numbers],
  [47, numbers],
  [59, numbers],
]);

/**
 * Decides what becomes of a batch, and folds the answer into what is known of it.
 *
 * @param batch `asked` counts how often it was answered by the same doubtful code
 */
export function judge(code: number, batch: Numbered & { asked: number }): Verdict {
  const row = ROWS.get(code) ?? { stored: 'maybe', next: 'limited' };
  if (row.stored === 'yes') return 'stored';
  if (row.stored === 'maybe') batch.unknown = true;
  const { unknown } = batch;
  switch (row.next) {
    case 'retry':
      return 'retry';
    case 'refuse':
      return unknown ? 'give-up' : 'refuse';
    case 'each':
      if (unknown) return 'give-up';
      return batch.count > 1 ? 'split' : 'refuse';
    case 'limited':
      batch.asked += 1;
      if (batch.asked < MOST_ASKED) return 'retry';
      return unknown ? 'give-up' : 'refuse';
    case 'numbers':
      return judgeNumbers(code, batch);
  }
}

/** 45 is not final: a leader that has slept says it about numbers that it has not seen. */
function judgeNumbers(code: number, batch: Numbered & { asked: number }): Verdict {
  batch.asked += 1;
  if (code === 45 && batch.asked < MOST_ASKED) return 'retry';
  if (batch.unknown) return 'give-up';
  // Nothing in the world numbers in our name; if it goes on so, it is not a matter of numbers.
  if (batch.asked > 3 * MOST_ASKED) return 'refuse';
  return code === 47 ? 'renew' : 'start-over';
}
