import type { EngineOptions } from './engine-options.js';
import { protocolError } from './errors.js';
import type { Metadata } from './metadata.js';
import { type Missing, noSuchPartition, placeRecords, type TopicRecords } from './placement.js';
import type { Part, Publish } from './publish.js';

/** Whom it serves. */
export interface UnplacedHost {
  readonly options: EngineOptions;
  readonly metadata: Metadata;
  enqueue(publish: Publish, parts: readonly Part[]): void;
  end(publish: Publish, reason: 'permanent' | 'exhausted', error: unknown): void;
}

interface Entry {
  readonly publish: Publish;
  readonly records: readonly TopicRecords[];
  /** When the metadata was found not to have its partition. */
  lookedAt: number;
}

/** How long a topic that has never been seen may be missing: it may just have been made, or its broker just started. */
const MISSING_MS = 5000;
const UNKNOWN_TOPIC = 3;
const LEAST_COMPACTED = 1024;
/** Of a topic, for good: its name is not valid, or it is not ours. */
const FINAL: ReadonlySet<number> = new Set([17, 29]);

/** Publishes whose topics are not known yet, in order: nothing for one of their topics overtakes them. */
export class Unplaced {
  private readonly host: UnplacedHost;
  private entries: Entry[] = [];
  private compactAt = LEAST_COMPACTED;
  /** The topics of the entries. May hold one too many until metadata comes: it is asked at every send. */
  private wanted = new Set<string>();
  private readonly refused = new Set<string>();

  constructor(host: UnplacedHost) {
    this.host = host;
  }

  /** The topics that are waited for. */
  topics(): ReadonlySet<string> {
    return this.wanted;
  }

  /** Gives the publish its partitions if that can be done now; otherwise it waits. True if it need not. */
  tryNow(publish: Publish, records: readonly TopicRecords[]): boolean {
    const entry = { publish, records, lookedAt: -Infinity };
    const blocked = this.wanted.size > 0 && records.some(({ topic }) => this.wanted.has(topic));
    if (!blocked && this.tryOne(entry)) return true;
    this.entries.push(entry);
    if (this.entries.length >= this.compactAt) {
      // What has been given up is not to be kept for as long as the brokers are away.
      this.entries = this.entries.filter(({ publish: { ended } }) => !ended);
      this.compactAt = Math.max(LEAST_COMPACTED, 2 * this.entries.length);
    }
    for (const { topic } of records) this.wanted.add(topic);
    return false;
  }

  /** Metadata has come. True if somebody still waits. */
  place(): boolean {
    const blocked = new Set<string>();
    const rest: Entry[] = [];
    const entries = this.entries;
    this.entries = [];
    this.wanted = new Set();
    for (const entry of entries) {
      if (entry.publish.ended) continue;
      const topics = entry.records.map(({ topic }) => topic);
      if (!topics.some((topic) => blocked.has(topic)) && this.tryOne(entry)) continue;
      rest.push(entry);
      for (const topic of topics) blocked.add(topic);
    }
    // Whoever is told of an end may have sent something.
    this.entries = rest.length === 0 ? this.entries : [...rest, ...this.entries];
    for (const topic of blocked) this.wanted.add(topic);
    // So that it is asked for anew when somebody wants it again, and not before.
    for (const topic of this.refused) if (!blocked.has(topic)) this.host.metadata.forget(topic);
    this.refused.clear();
    return this.entries.length > 0;
  }

  /** True if it is placed, or has ended. */
  private tryOne(entry: Entry): boolean {
    const { publish, records } = entry;
    const { metadata, options } = this.host;
    const all: Part[] = [];
    for (const one of records) {
      const state = metadata.topic(one.topic);
      if (state === undefined) return false;
      if (state.partitions.length === 0) return this.isRefused(publish, one.topic);
      let parts: Part[] | Missing;
      try {
        parts = placeRecords(publish, one, state, options.partitioner, options.maxBatchBytes);
      } catch (error) {
        this.host.end(publish, 'permanent', error);
        return true;
      }
      if (!Array.isArray(parts)) return this.isMissing(entry, parts);
      all.push(...parts);
    }
    this.host.enqueue(publish, all);
    return true;
  }

  /** There may be more partitions since the metadata was asked for: it is asked once more. */
  private isMissing(entry: Entry, missing: Missing): boolean {
    const { metadata } = this.host;
    if (entry.lookedAt === -Infinity) {
      entry.lookedAt = metadata.refreshedAt;
      return false;
    }
    if (metadata.refreshedAt <= entry.lookedAt) return false;
    this.host.end(entry.publish, 'permanent', noSuchPartition(missing));
    return true;
  }

  private isRefused(publish: Publish, topic: string): boolean {
    const { metadata, options } = this.host;
    const state = metadata.topic(topic);
    const code = state?.errorCode ?? 0;
    const now = options.policy.settings.clock.now();
    const missingMs = now - (state?.missingSince ?? now);
    const gone = code === UNKNOWN_TOPIC && missingMs >= (options.once ? 0 : MISSING_MS);
    if (!gone && !FINAL.has(code)) return false;
    const error = protocolError(code, `"${topic}"`);
    this.host.end(publish, FINAL.has(code) ? 'permanent' : 'exhausted', error);
    this.refused.add(topic);
    return true;
  }
}
