import type { Stamp } from '../src/sequence.js';

/** A batch on the wire. */
export interface Copy {
  readonly stamp: Stamp;
  readonly ids: readonly number[];
}

interface Producer {
  epoch: number;
  next: number;
  /** The last five. */
  batches: { readonly first: number; readonly count: number }[];
}

const SEQUENCES = 2 ** 31;

/**
 * One partition of a broker as far as idempotence goes: the last five batches are known again, epochs are
 * fenced, gaps are refused. Seen on Kafka 4.1.1 and 3.9.1.
 */
export class ModelBroker {
  readonly log: number[] = [];
  private readonly producers = new Map<bigint, Producer>();

  /** @returns the code of the reply */
  append({ stamp, ids }: Copy): number {
    const { producerId, epoch, sequence } = stamp;
    const known = this.producers.get(producerId);
    if (known !== undefined && epoch < known.epoch) return 47;
    if (known === undefined || epoch > known.epoch) {
      if (known !== undefined && sequence !== 0) return 45;
      this.producers.set(producerId, { epoch, next: sequence, batches: [] });
    }
    const state = this.producers.get(producerId) as Producer;
    const again = state.batches.some(
      ({ first, count }) => first === sequence && count === ids.length,
    );
    if (again) return 0;
    if (sequence !== state.next) return 45;
    state.next = (sequence + ids.length) % SEQUENCES;
    state.batches = [...state.batches, { first: sequence, count: ids.length }].slice(-5);
    this.log.push(...ids);
    return 0;
  }
}
