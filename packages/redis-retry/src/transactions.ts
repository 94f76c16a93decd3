import type { Command, Queue } from './driver.js';

/** Of a command between a MULTI and its EXEC that were not sent as one pipeline. */
export const IN_TRANSACTION: unique symbol = Symbol('outlast.transaction');
/** Of an EXEC: how many WATCHes lie before it. */
export const WATCHED: unique symbol = Symbol('outlast.watched');
/** Of an EXEC whose WATCH was lost with its connection: it must not run. */
export const REFUSED: unique symbol = Symbol('outlast.refused');

declare module './driver.js' {
  interface Command {
    [IN_TRANSACTION]?: boolean;
    [WATCHED]?: number;
    [REFUSED]?: boolean;
  }
}

/**
 * What a connection holds for its user and forgets when it is lost: the keys that are watched, and a
 * transaction that was begun by hand (`multi({ pipeline: false })`).
 */
export class Transactions {
  private watches = 0;
  private watchLost = false;
  private open = false;
  private broken = false;

  /**
   * A command is issued.
   *
   * @returns false if it belongs to a transaction that was lost with its connection
   */
  issue(command: Command, kind: string): boolean {
    const byHand = command.pipelineIndex === undefined && !command.inTransaction;
    if (this.broken && byHand && kind !== 'multi') {
      if (kind === 'exec' || kind === 'discard') this.end();
      return false;
    }
    switch (kind) {
      case 'watch':
        this.watches += 1;
        break;
      case 'unwatch':
        this.forgetWatches();
        break;
      case 'multi':
        if (byHand) {
          this.open = true;
          this.broken = false;
          command[IN_TRANSACTION] = true;
        }
        break;
      case 'exec':
      case 'discard':
        if (this.watchLost) command[REFUSED] = true;
        else if (this.watches > 0) command[WATCHED] = this.watches;
        if (this.open && byHand) command[IN_TRANSACTION] = true;
        this.end();
        break;
      default:
        if (this.open && byHand) command[IN_TRANSACTION] = true;
    }
    return true;
  }

  /** Whether anything has to be looked at when a plain command is issued. */
  get idle(): boolean {
    return !this.open && !this.broken;
  }

  /**
   * The connection is lost.
   *
   * @param sent what was on its way, @param waiting what was not sent yet
   */
  lost(sent: readonly Command[], waiting: Queue): void {
    let unanswered = 0;
    let begins = false;
    for (const command of sent) {
      if (isKind(command, 'watch')) unanswered += 1;
      else if (isKind(command, 'exec')) unanswered = 0;
    }
    for (let i = 0; i < waiting.length; i++) {
      const command = waiting.peekAt(i)?.command;
      if (command === undefined) continue;
      if (isKind(command, 'watch')) unanswered += 1;
      else if (isKind(command, 'multi')) begins ||= command[IN_TRANSACTION] === true;
      else if (isKind(command, 'exec')) {
        // A WATCH that was answered held on the connection; one that was not is sent again, and holds anew.
        if ((command[WATCHED] ?? 0) > unanswered) command[REFUSED] = true;
        unanswered = 0;
      }
    }
    if (this.watches > unanswered) this.watchLost = true;
    if (this.open && !begins) this.broken = true;
  }

  /** The MULTI of a transaction by hand was given up. */
  abandon(): void {
    if (this.open) this.broken = true;
  }

  private end(): void {
    this.open = false;
    this.broken = false;
    this.forgetWatches();
  }

  private forgetWatches(): void {
    this.watches = 0;
    this.watchLost = false;
  }
}

export function isKind(command: Command, kind: string): boolean {
  const { name } = command;
  return name.length === kind.length && name.toLowerCase() === kind;
}

/** Whether a command is part of a transaction, however it was begun. */
export function inTransaction(command: Command): boolean {
  return command.inTransaction || command[IN_TRANSACTION] === true;
}
