import { createHash } from 'node:crypto';
import { text } from './args.js';
import { xaddId } from './commands.js';
import { type Command, CommandClass } from './driver.js';
import { OPERATION, operationOf, STARTED } from './operation.js';
import { inTransaction, isKind } from './transactions.js';
import { isSetNx } from './verdict.js';

const SHORTEST_TOKEN = 16;
const REMEMBERED = 10_000;

/**
 * How an unknown outcome becomes known. `SET key token NX` whose answer was lost is looked up: the key
 * holds this token → it was set, and by this call, if this client has used the token in no other one.
 * Anything else proves nothing (it may have been set, and expired or been deleted since).
 */
export class Tokens {
  // How often a token was used, the latest ones; what is short may be a constant and proves nothing.
  private readonly used = new Map<string, number>();

  /** A SET is issued. */
  issued(command: Command): void {
    if (command.args.length < 3 || !isSetNx(command)) return;
    const token = tokenOf(command);
    if (token === undefined) return;
    const before = this.used.get(token) ?? 0;
    this.used.delete(token);
    this.used.set(token, before + 1);
    if (this.used.size <= REMEMBERED) return;
    for (const oldest of this.used.keys()) {
      this.used.delete(oldest);
      break;
    }
  }

  /**
   * The question that says what became of a command, if it can be answered at all; its answer settles the
   * command.
   *
   * @param unknown called if the answer proves nothing
   */
  lookUp(command: Command, waitMs: number, unknown: () => void): Command | undefined {
    if (!isKind(command, 'set') || inTransaction(command) || !isSetNx(command)) return undefined;
    const token = tokenOf(command);
    if (token === undefined || this.used.get(token) !== 1) return undefined;
    const get = new CommandClass('get', [command.args[0]], { replyEncoding: null });
    const { patienceMs, deadline } = operationOf(command, waitMs);
    get[STARTED] = command[STARTED] ?? 0;
    operationOf(get, patienceMs).deadline = deadline;
    get.promise.then((value) => {
      if (Buffer.isBuffer(value) && value.toString('latin1') === text(command.args[1])) {
        command.resolve(Buffer.from('OK'));
      } else unknown();
    }, unknown);
    return get;
  }

  /**
   * XADD with an id of the caller's own, sent twice: Redis refuses the second. If the entry is there, the
   * first was applied.
   *
   * @param give called if it is not
   * @returns the question whose answer settles the command, if there is one
   */
  infer(command: Command, error: Error, give: () => void): Command | undefined {
    const operation = command[OPERATION];
    if (operation?.sawUnknown !== true || operation.attempts < 2) return undefined;
    if (!isKind(command, 'xadd') || inTransaction(command)) return undefined;
    if (!error.message.includes('equal or smaller than the target stream top item')) {
      return undefined;
    }
    const id = xaddId(command.args);
    const range = new CommandClass('xrange', [command.args[0], id, id], { replyEncoding: null });
    range[STARTED] = command[STARTED] ?? 0;
    range.promise.then((entries) => {
      const entry = (entries as [Buffer, Buffer[]][])[0];
      if (entry !== undefined && sameFields(command, entry[1])) command.resolve(entry[0]);
      else give();
    }, give);
    return range;
  }
}

/** Whether an entry of a stream is the one that the command would have made. */
function sameFields(command: Command, fields: readonly Buffer[]): boolean {
  const given = command.args.slice(command.args.length - fields.length).map(text);
  return fields.every((field, i) => field.toString('latin1') === given[i]);
}

function tokenOf(command: Command): string | undefined {
  const token = text(command.args[1]);
  if (token.length < SHORTEST_TOKEN) return undefined;
  return token.length <= 64 ? token : createHash('sha1').update(token).digest('base64');
}
