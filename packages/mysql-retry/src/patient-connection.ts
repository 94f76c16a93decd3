import { isServerError } from './classify.js';
import { type Command, type CoreConnection, dropSocket, type Queue } from './driver.js';

/** What a connection needs to know to wait. */
interface Patience {
  /** Whether a failure may pass. */
  isOutage(error: unknown): boolean;
  /** Told of a failure that will not, before anybody else is. */
  refused(error: unknown): void;
  /**
   * Makes a connection that has shaken hands, as soon as that is possible.
   *
   * @param error what the first try met
   */
  connect(error: unknown, signal: AbortSignal): Promise<CoreConnection>;
}

/** What of the driver's connection is put in another's place, for as long as it connects. */
type Overridden = Pick<CoreConnection, '_notifyError' | '_handleFatalError' | 'close' | 'end'>;

/**
 * Lets a connection of the driver's wait out an outage while it connects. The driver dials when its object
 * is made, once, and fails what was asked of it when that fails. Here what was asked of it is kept, another
 * connection is made patiently, and the object takes over its wire.
 */
export function waitOutWhileConnecting(connection: CoreConnection, patience: Patience): void {
  const theirs: CoreConnection = Object.getPrototypeOf(connection);
  const controller = new AbortController();
  let waiting = false;
  let closed = false;
  const overridden: Overridden = {
    _notifyError(error) {
      if (!waits(error)) theirs._notifyError.call(connection, error);
    },
    _handleFatalError(error) {
      if (!waits(error)) theirs._handleFatalError.call(connection, error);
    },
    close() {
      closed = true;
      controller.abort();
      theirs.close.call(connection);
    },
    end(callback) {
      const quit = theirs.end.call(connection, callback);
      // Nobody wants anything of it but that it ends.
      if (waiting && connection._commands.length === 1) controller.abort();
      return quit;
    },
  };
  const restore = (): void => {
    for (const name of Object.keys(overridden)) Reflect.deleteProperty(connection, name);
  };
  const waits = (error: unknown): boolean => {
    if (waiting) return true;
    if (controller.signal.aborted || !patience.isOutage(error)) {
      patience.refused(error);
      return false;
    }
    waiting = true;
    const wait = putOnHold(connection, () => closed);
    patience.connect(error, controller.signal).then(
      (other) => {
        wait.over();
        restore();
        if (controller.signal.aborted) dropSocket(other);
        else takeOver(connection, other);
      },
      (last: unknown) => {
        wait.over();
        restore();
        // Who destroys a connection hears of it no more, but what he had asked of it has to end.
        if (closed && connection._commands.length === 0) return;
        fail(connection, controller.signal.aborted ? error : last);
      },
    );
    return true;
  };

  for (const [name, value] of Object.entries(overridden)) {
    Object.defineProperty(connection, name, { value, configurable: true, writable: true });
  }
  connection.once('connect', restore);
}

/** Its first wire is cut off; what is asked of it from here on is queued. */
function putOnHold(connection: CoreConnection, closed: () => boolean): { over(): void } {
  const { stream, _commands: queue, _command: handshake } = connection;
  stream.removeAllListeners();
  stream.on('error', () => {});
  stream.destroy();
  clearTimeout(connection.connectTimeout ?? undefined);
  connection.connectTimeout = null;
  // The driver, which is in the middle of giving it up, must not begin with what is queued.
  connection._commands = new (queue.constructor as new () => Queue<Command>)();
  const hold = (): void => {
    for (let late = connection._commands.shift(); late; late = connection._commands.shift()) {
      queue.push(late);
    }
    connection._commands = queue;
    connection._command = handshake;
    connection._fatalError = null;
    connection._protocolError = null;
    connection._closing = closed();
  };
  let held = false;
  const once = (): void => {
    if (!held) hold();
    held = true;
  };
  process.nextTick(once);
  return { over: once };
}

const ITS_OWN: ReadonlySet<string> = new Set([
  '_events',
  '_eventsCount',
  '_maxListeners',
  '_commands',
  '_command',
]);

/**
 * `connection` goes on with the wire of `other`, and with what that knows of its server. The wire's listeners
 * know `other` only; whatever they do to it from here on, they do to `connection`.
 */
function takeOver(connection: CoreConnection, other: CoreConnection): void {
  for (const key of Object.keys(other)) {
    const found = Object.getOwnPropertyDescriptor(other, key) as PropertyDescriptor;
    if (!ITS_OWN.has(key)) Object.defineProperty(connection, key, found);
    Reflect.deleteProperty(other, key);
  }
  const alias = new Proxy(connection, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set: (target, key, value) => Reflect.set(target, key, value),
  });
  Object.setPrototypeOf(other, alias);
  connection.emit('connect', connection._handshakePacket);
  connection._command = connection._commands.shift();
  if (connection._command === undefined) return;
  connection._resetSequenceId();
  connection.handlePacket();
}

/** As the driver fails a connection that it could not make. */
function fail(connection: CoreConnection, error: unknown): void {
  if (isServerError(error)) {
    connection._closing = true;
    connection._notifyError(error);
  } else connection._handleFatalError(error);
}
