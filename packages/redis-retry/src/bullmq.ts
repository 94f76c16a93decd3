import { text } from './args.js';
import type { Argument } from './driver.js';
import type { IdempotentCommand } from './verdict.js';

/**
 * Scripts of BullMQ that may run again although the first run may have taken effect, each with the reason.
 * Read in BullMQ 6.7; a script that is not named here is never run twice.
 */
const SCRIPTS: Readonly<Record<string, string>> = {
  // The first run's job stays among the active ones without a worker, as it would if the error had surfaced; its
  // lock expires, and the check for stalled jobs brings it back to those that wait. It has not been worked on.
  moveToActive: 'takes another job; the first is brought back as a stalled one',
  // These take the job from the active ones if it is still locked by this worker's token. The second run finds
  // no lock and answers −2, which the worker reports; the job is where it belongs. Without a second run, a first
  // one that was lost before the server would leave a finished job to be worked on again.
  moveToFinished: 'guarded by the lock of the job',
  moveToDelayed: 'guarded by the lock of the job',
  moveToWaitingChildren: 'guarded by the lock of the job',
  moveJobFromActiveToWait: 'guarded by the lock of the job',
  retryJob: 'guarded by the lock of the job',
  // Locks: the same token for the same time, or given back.
  extendLock: 'sets the same lock again',
  extendLocks: 'sets the same locks again',
  releaseLock: 'removes the lock only if it is this worker’s',
  // One check in so many seconds: the second run finds that there was one.
  moveStalledJobsToWait: 'guarded by a key that says when it last ran',
  // Fields of the job that are set to the same values again. `progress` is announced twice.
  saveStacktrace: 'sets the same fields again',
  updateData: 'sets the same fields again',
  updateProgress: 'sets the same fields again; the event may come twice',
  // These only read.
  getCounts: 'reads',
  getCountsPerPriority: 'reads',
  getDependencyCounts: 'reads',
  getJobScheduler: 'reads',
  getJobs: 'reads',
  getMetrics: 'reads',
  getRanges: 'reads',
  getState: 'reads',
  getStateV2: 'reads',
  isFinished: 'reads',
  isJobInList: 'reads',
  isMaxed: 'reads',
  paginate: 'reads',
};

/** A job with an id of its own is added once: the second run finds it and answers with its id. */
const ADD = new Set(['addStandardJob', 'addDelayedJob', 'addPrioritizedJob', 'addParentJob']);

/**
 * For `retry.idempotentCommands` of the connections that BullMQ gets. A job that is added without a `jobId` of its
 * own is not among it: whether it was added is unknown when the answer is lost, and `queue.add` says so.
 */
export const bullmq: readonly IdempotentCommand[] = [
  (name, args) => {
    // BullMQ defines its scripts as `name:version`
    const [script = ''] = name.split(':');
    return Object.hasOwn(SCRIPTS, script) || (ADD.has(script) && hasOwnId(args));
  },
];

/** The first argument behind the keys is a packed array of the queue's prefix, the job's id, and more. */
function hasOwnId([, keys, ...rest]: readonly Argument[]): boolean {
  const packed = rest[Number(text(keys))];
  if (!Buffer.isBuffer(packed)) return false;
  // MessagePack: an array of up to 15 elements, of which the first two are strings
  if ((packed[0] ?? 0) >> 4 !== 0x9) return false;
  const prefix = stringAt(packed, 1);
  const id = prefix && stringAt(packed, prefix.end);
  return id !== undefined && id.length > 0;
}

function stringAt(packed: Buffer, at: number): { length: number; end: number } | undefined {
  const type = packed[at] ?? 0;
  const [length, header] =
    type >> 5 === 0b101
      ? [type & 0x1f, 1]
      : type === 0xd9
        ? [packed[at + 1] ?? 0, 2]
        : type === 0xda && at + 3 <= packed.length
          ? [packed.readUInt16BE(at + 1), 3]
          : [-1, 0];
  return length < 0 ? undefined : { length, end: at + header + length };
}
