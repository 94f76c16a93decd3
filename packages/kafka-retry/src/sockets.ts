import type { Socket } from 'node:net';
import type { ISocketFactory } from 'kafkajs';

/**
 * Every socket that a client of kafkajs has opened, so that the client can be thrown away: kafkajs waits for
 * answers before it disconnects, and opens sockets again after it has.
 */
export class Sockets {
  /** What the client is given as its `socketFactory`. */
  readonly factory: ISocketFactory;
  private readonly open = new Set<Socket>();
  private closed = false;

  /** @param onWrite told of what is written, before it is */
  constructor(inner: ISocketFactory, onWrite: (bytes: Buffer) => void = () => {}) {
    this.factory = (where) => {
      const socket = inner(where);
      this.open.add(socket);
      socket.once('close', () => this.open.delete(socket));
      const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
      socket.write = ((bytes: unknown, ...rest: unknown[]) => {
        if (Buffer.isBuffer(bytes)) onWrite(bytes);
        return write(bytes, ...rest);
      }) as Socket['write'];
      if (this.closed) socket.destroy(thrownAway());
      return socket;
    };
  }

  /** What waits on them rejects at once; what is opened later is closed at once. */
  destroy(): void {
    this.closed = true;
    this.reset();
  }

  /** What waits on them rejects at once; others may be opened. */
  reset(): void {
    // Without an error kafkajs would not hear of it.
    for (const socket of this.open) socket.destroy(thrownAway());
  }
}

function thrownAway(): Error {
  return new Error('The connection was dropped.');
}
