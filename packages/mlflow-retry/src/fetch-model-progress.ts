import type { Clock } from '@outlast/core-retry';
import type { ListedFile } from './safe-path.js';

/** How far a fetch has come. */
export interface FetchProgress {
  readonly files: number;
  readonly filesDone: number;
  /** Bytes of the model on this disk. Never falls, also where a file had to begin again. */
  readonly bytes: number;
  /** Of the whole model, as listed. */
  readonly totalBytes: number;
  /** Of `bytes`: found on the disk, from a process that was killed or a fetch that failed. */
  readonly resumedBytes: number;
  /** What came over the wire, repeats included. */
  readonly receivedBytes: number;
  /** Of `receivedBytes`, since this fetch began. */
  readonly bytesPerSecond: number;
  /** The file that moved, by its path in the model. */
  readonly file: string;
}

/** What is known of one file. */
export interface FileProgress {
  readonly bytes: number;
  readonly resumedBytes: number;
  readonly receivedBytes: number;
}

/** Adds up what the downloads of single files say. */
export class Progress {
  readonly #files = new Map<string, FileProgress>();
  readonly #count: number;
  readonly #totalBytes: number;
  readonly #clock: Clock;
  readonly #since: number;
  readonly #report: ((progress: FetchProgress) => void) | undefined;
  readonly #done = new Set<string>();

  constructor(
    files: readonly ListedFile[],
    clock: Clock,
    report: ((progress: FetchProgress) => void) | undefined,
  ) {
    this.#count = files.length;
    this.#totalBytes = files.reduce((sum, { size }) => sum + (size ?? 0), 0);
    this.#clock = clock;
    this.#since = clock.now();
    this.#report = report;
  }

  /** @param done whether the file is complete */
  note(file: string, now: FileProgress, done = false): void {
    const bytes = Math.max(now.bytes, this.#files.get(file)?.bytes ?? 0);
    this.#files.set(file, { ...now, bytes });
    if (done) this.#done.add(file);
    if (this.#report === undefined) return;
    const sum = { bytes: 0, resumedBytes: 0, receivedBytes: 0 };
    for (const one of this.#files.values()) {
      sum.bytes += one.bytes;
      sum.resumedBytes += one.resumedBytes;
      sum.receivedBytes += one.receivedBytes;
    }
    const seconds = (this.#clock.now() - this.#since) / 1_000;
    try {
      this.#report({
        files: this.#count,
        filesDone: this.#done.size,
        totalBytes: this.#totalBytes,
        ...sum,
        bytesPerSecond: seconds > 0 ? Math.round(sum.receivedBytes / seconds) : 0,
        file,
      });
    } catch {
      // A hook that throws changes nothing.
    }
  }
}
