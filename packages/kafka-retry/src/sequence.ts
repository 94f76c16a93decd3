/** What a client is to the brokers. Epochs go up to 32766. */
export interface Identity {
  readonly producerId: bigint;
  readonly epoch: number;
}

/** What stands in a batch so that the broker knows it again: the same for every attempt. */
export interface Stamp extends Identity {
  /** The number of its first message in its partition. */
  readonly sequence: number;
}

/** What the numbering knows of a batch. */
export interface Numbered {
  /** How many messages it holds. */
  readonly count: number;
  stamp: Stamp | undefined;
  /** Whether an attempt may have stored it: its reply was lost, or left that open. */
  unknown: boolean;
}

/** Sequence numbers are 31 bits wide; kafkajs starts at 0 again a step too early. */
const SEQUENCES = 2 ** 31;
const LAST_EPOCH = 32_766;

/**
 * The numbers of one partition's messages, for one batch in flight at a time. A batch keeps its numbers until
 * it is stored, or is known not to be, or is given up. Source: KIP-98, KIP-360 (raising the epoch).
 */
export class Sequence {
  private identity: Identity | undefined;
  private next: number;

  /** @param next the number of the first message; 0 but in tests */
  constructor(identity?: Identity, next = 0) {
    this.identity = identity;
    this.next = next;
  }

  /** Whether {@link renew} must be called before anything can be numbered. */
  get needsIdentity(): boolean {
    return this.identity === undefined;
  }

  /** The producer id and epoch that the next batch will carry. */
  get current(): Identity | undefined {
    return this.identity;
  }

  /** Begins anew under a fresh producer id. */
  renew(identity: Identity): void {
    this.identity = identity;
    this.next = 0;
  }

  /** The numbers of a batch: given once, the same ever after. */
  number(batch: Numbered): Stamp {
    if (batch.stamp !== undefined) return batch.stamp;
    if (this.identity === undefined) throw new Error('There is no producer id to number under.');
    const { producerId, epoch } = this.identity;
    batch.stamp = { producerId, epoch, sequence: this.next };
    this.next = (this.next + batch.count) % SEQUENCES;
    return batch.stamp;
  }

  /** Nothing of the batch was ever stored: its numbers are the next ones again. */
  takeBack(batch: Numbered): void {
    if (batch.stamp === undefined) return;
    if (batch.unknown) throw new Error('Numbers that may be in use cannot be taken back.');
    this.next = batch.stamp.sequence;
    batch.stamp = undefined;
  }

  /**
   * The broker does not go on with these numbers, and nothing of the batch was ever stored: it gets others.
   *
   * @param bump whether the broker lets a client raise its epoch; if not, a new identity is needed
   */
  startOver(batch: Numbered, bump: boolean): void {
    this.takeBack(batch);
    this.leave(bump);
  }

  /**
   * Whether the batch was stored will not be found out. What comes next carries a higher epoch, so that late
   * copies of this batch are fenced off once the next one is stored.
   *
   * @param bump as in {@link startOver}
   */
  giveUp(batch: Numbered, bump: boolean): void {
    batch.stamp = undefined;
    this.leave(bump);
  }

  private leave(bump: boolean): void {
    const { identity } = this;
    this.next = 0;
    this.identity =
      bump && identity !== undefined && identity.epoch < LAST_EPOCH
        ? { producerId: identity.producerId, epoch: identity.epoch + 1 }
        : undefined;
  }
}
