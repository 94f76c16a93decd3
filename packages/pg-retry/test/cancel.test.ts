import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type driver from 'pg';
import { describe, expect, it } from 'vitest';
import { cancelStatement } from '../src/cancel.js';

describe('stopping a statement', () => {
  it('is asked of the machine that the connection goes to, not of whoever has its name by now', async () => {
    const seen: Buffer[] = [];
    const server = createServer((socket) => {
      socket.on('data', (bytes) => {
        seen.push(bytes);
        socket.end();
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const client = {
      processID: 7,
      secretKey: 9,
      host: 'no-such-host.invalid',
      port,
      connection: { stream: { remoteAddress: '127.0.0.1', remotePort: port } },
    };
    await cancelStatement(client as unknown as driver.ClientBase);
    server.close();
    // CancelRequest: length, code, process id, secret key
    const [request = Buffer.alloc(0)] = seen;
    const words = [0, 4, 8, 12].map((at) => request.readInt32BE(at));
    expect(words).toEqual([16, 80877102, 7, 9]);
  });

  it('is not asked of a server that gave no key', async () => {
    const client = { processID: null, secretKey: null, host: '127.0.0.1', port: 1 };
    await expect(cancelStatement(client as unknown as driver.ClientBase)).resolves.toBeUndefined();
  });
});
