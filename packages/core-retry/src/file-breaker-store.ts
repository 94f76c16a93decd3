import { resolve } from 'node:path';
import {
  applyChanges,
  type Change,
  type Changes,
  type Claim,
  serializeEntries,
  snapshotOf,
} from './breaker-entries.js';
import { BreakerFile } from './breaker-file.js';
import {
  type BreakerSnapshot,
  type BreakerStore,
  type ProbeClaim,
  readSnapshot,
} from './breaker-store.js';
import { type Clock, systemClock } from './clock.js';
import { ClosedError, OptionError, OutlastError } from './errors.js';
import { FileLock, type Hold, lockedOut } from './file-lock.js';
import {
  checkOptions,
  duration,
  invalidOption,
  type Known,
  nonEmptyText,
} from './options-check.js';

/** Options of a {@link FileBreakerStore}. */
export interface FileBreakerStoreOptions {
  /** The file. It need not exist; its folder must, and we must be allowed to write there. */
  readonly path: string;
  /**
   * How long a process may take to write, in milliseconds; past it the next one takes over, and the
   * late one merges again. So long a killed one is in the way at most. Default 2000.
   */
  readonly lockLeaseMs?: number;
  /** How long a write waits for those of other processes, in milliseconds. Default 5000. */
  readonly lockWaitMs?: number;
  readonly clock?: Clock;
}

const KNOWN: Known<FileBreakerStoreOptions> = {
  path: nonEmptyText,
  lockLeaseMs: duration({ min: 1 }),
  lockWaitMs: duration({ min: 1 }),
  clock: undefined,
};
const leaseTime = duration({ min: 1 });
const MOST_LOSSES = 5;

/**
 * Keeps breakers in one JSON file, which it replaces as a whole, so that no crash leaves half a one.
 * Processes of one machine may share it: each writes its own keys into what the others wrote. Saves
 * that come while one is being written go together into the next. A file that cannot be read fails
 * `load`; the next save moves its contents to `<path>.corrupt` and begins a new one. What it creates
 * is for its own user only (0600). Nothing of it keeps the process alive but a write that is under way.
 *
 * Every method rejects with the system's error if the file cannot be read or written, with an
 * OutlastError `OUTLAST_STORE_LOCKED` if others kept it from writing, and with ClosedError after `close()`.
 */
export class FileBreakerStore implements BreakerStore {
  private readonly path: string;
  private readonly waitMs: number;
  private readonly clock: Clock;
  private readonly file: BreakerFile;
  private readonly lock: FileLock;
  /** What is not yet being written. */
  private next: { readonly changes: Changes; readonly written: Promise<void> } | undefined;
  /** Settles after every write so far; never rejects. */
  private idle: Promise<void> = Promise.resolve();
  private closed = false;

  /** @throws OptionError */
  constructor(options: FileBreakerStoreOptions) {
    checkOptions('FileBreakerStore', options, KNOWN);
    if (options.path === undefined)
      throw invalidOption('FileBreakerStore.path', undefined, 'given');
    this.path = resolve(options.path);
    this.waitMs = options.lockWaitMs ?? 5000;
    this.clock = options.clock ?? systemClock;
    this.file = new BreakerFile(this.path, this.clock);
    this.lock = new FileLock(this.path, options.lockLeaseMs ?? 2000, this.clock);
  }

  /**
   * What is kept under the key, or undefined. The file is read only if it was replaced since.
   *
   * @throws OutlastError `OUTLAST_STORE_CORRUPT` if the file or what is kept under this key is not valid
   */
  async load(key: string): Promise<BreakerSnapshot | undefined> {
    this.checkOpen();
    const read = snapshotOf((await this.file.entries()).get(key));
    if (typeof read !== 'string') return read;
    throw new OutlastError(
      'OUTLAST_STORE_CORRUPT',
      `The stored state of this breaker cannot be used: ${read}. The next save of this breaker replaces it.`,
    );
  }

  /**
   * Settles when the snapshot, or a later one of the same key, is on the disk. With a fence it keeps
   * nothing if another probe was granted since.
   *
   * @throws OptionError if the snapshot is not valid
   */
  async save(key: string, snapshot: BreakerSnapshot, fence?: string): Promise<void> {
    this.checkOpen();
    const wrong = readSnapshot(snapshot);
    if (typeof wrong === 'string') throw new OptionError('snapshot', `cannot be saved: ${wrong}.`);
    const { list, written } = this.changesOf(key);
    const last = list.at(-1);
    // An earlier one counts no longer, unless it has a fence that this one has not.
    if (last !== undefined && 'snapshot' in last && (fence ?? last.fence) === last.fence)
      list.pop();
    list.push({ snapshot, fence });
    await written;
  }

  /**
   * Asks for the one probe of all processes. The lease counts in time of day; where that jumps back,
   * from when somebody sees it.
   *
   * @param leaseMs milliseconds, 1 or more
   * @throws OptionError
   */
  async claimProbe(key: string, leaseMs: number): Promise<ProbeClaim> {
    this.checkOpen();
    const valid = leaseTime(leaseMs);
    if (valid !== undefined) throw invalidOption('leaseMs', leaseMs, valid);
    const { list, written } = this.changesOf(key);
    const claim: Claim = { leaseMs, answer: { granted: false } };
    list.push(claim);
    await written;
    return claim.answer;
  }

  /** Settles when what was asked for is written. Never rejects; may be called again. */
  async close(): Promise<void> {
    this.closed = true;
    await this.idle;
  }

  private checkOpen(): void {
    if (this.closed) throw new ClosedError('The FileBreakerStore');
  }

  /** What is asked for under the key and not yet being written, to be added to. */
  private changesOf(key: string): { list: Change[]; written: Promise<void> } {
    if (this.next === undefined) {
      const changes: Changes = new Map();
      // Not before this turn is over, so that all that is saved in it goes in one write.
      const written = this.idle.then(() => this.write(changes));
      this.idle = written.catch(() => {});
      this.next = { changes, written };
    }
    const { changes, written } = this.next;
    const list = changes.get(key) ?? [];
    changes.set(key, list);
    return { list, written };
  }

  private async write(changes: Changes): Promise<void> {
    try {
      for (let losses = 0; losses < MOST_LOSSES; losses++) {
        const hold = await this.lock.acquire(this.clock.now() + this.waitMs);
        this.seal(changes);
        try {
          if (await this.merge(changes, hold)) return;
        } finally {
          await hold.release();
        }
      }
      throw lockedOut(`took its lock over ${MOST_LOSSES} times after lockLeaseMs`);
    } finally {
      this.seal(changes);
    }
  }

  /** What is asked for from now on goes into the next write. */
  private seal(changes: Changes): void {
    if (this.next?.changes === changes) this.next = undefined;
  }

  /** @returns false if the lock was lost, and with it what was merged */
  private async merge(changes: Changes, hold: Hold): Promise<boolean> {
    const { entries, damage, bytes } = await this.file.read();
    const changed = applyChanges(entries, changes, this.clock.wallNow());
    if (!changed && damage === undefined) return true;
    if (bytes !== undefined) await this.file.keepAside(bytes);
    const published = await hold.publish(serializeEntries(entries));
    this.file.published();
    return published;
  }
}
