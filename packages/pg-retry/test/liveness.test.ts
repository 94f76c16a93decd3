import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { ManualClock } from '@outlast/core-retry/testing';
import type driver from 'pg';
import { describe, expect, it } from 'vitest';
import { type AskHost, askHost, Liveness } from '../src/liveness.js';

function client() {
  const stream = {
    bytesRead: 100,
    bytesWritten: 100,
    destroyed: undefined as Error | undefined,
    destroy(error: Error) {
      stream.destroyed = error;
    },
  };
  return { host: 'db', port: 6000, readyForQuery: false, connection: { stream } };
}

type FakeClient = ReturnType<typeof client>;

function setUp(clients: FakeClient[], answers: boolean[]) {
  const clock = new ManualClock();
  const asked: string[] = [];
  const ask: AskHost = async (host, port, limitMs) => {
    asked.push(`${host}:${port} ${limitMs} ms`);
    return answers.shift() ?? true;
  };
  const liveness = new Liveness(
    () => clients as unknown as driver.ClientBase[],
    clock,
    10_000,
    ask,
  );
  liveness.begin();
  const pass = async (ms: number) => {
    await clock.advance(ms);
  };
  return { clock, asked, liveness, pass };
}

describe('the liveness of a statement’s server', () => {
  it('ends the connection of a statement that is silent while its host refuses twice', async () => {
    const silent = client();
    const { pass, asked } = setUp([silent], [false, false]);
    await pass(5000);
    await pass(5000);
    expect(asked).toEqual([]);
    await pass(5000);
    expect(asked).toEqual(['db:6000 5000 ms', 'db:6000 5000 ms']);
    expect(silent.connection.stream.destroyed).toMatchObject({
      code: 'ETIMEDOUT',
      message:
        'The server has been silent for 10000 ms and does not answer on another connection either.',
    });
  });

  it('asks the machine that the connection goes to, not whoever has its name by now', async () => {
    const silent = client();
    Object.assign(silent.connection.stream, { remoteAddress: '10.0.0.7', remotePort: 6001 });
    const { pass, asked } = setUp([silent], [false, false]);
    for (let look = 0; look < 3; look++) await pass(5000);
    expect(asked).toEqual(['10.0.0.7:6001 5000 ms', '10.0.0.7:6001 5000 ms']);
  });

  it('leaves a slow statement alone whose server answers, and asks again after another silence', async () => {
    const slow = client();
    const { pass, asked } = setUp([slow], [false, true]);
    for (let look = 0; look < 5; look++) await pass(5000);
    expect(asked).toHaveLength(3);
    expect(slow.connection.stream.destroyed).toBeUndefined();
  });

  it.each<[string, (one: FakeClient) => void]>([
    ['rows arrive', (one) => (one.connection.stream.bytesRead += 1)],
    ['an upload goes on', (one) => (one.connection.stream.bytesWritten += 1)],
    ['it is idle', (one) => (one.readyForQuery = true)],
  ])('asks nobody while %s', async (_, move) => {
    const one = client();
    const { pass, asked } = setUp([one], []);
    for (let look = 0; look < 6; look++) {
      move(one);
      await pass(5000);
    }
    expect(asked).toEqual([]);
  });

  it('takes back its verdict where something moved while it asked', async () => {
    const one = client();
    const clock = new ManualClock();
    const liveness = new Liveness(
      () => [one] as unknown as driver.ClientBase[],
      clock,
      10_000,
      async () => {
        one.connection.stream.bytesRead += 1;
        return false;
      },
    );
    liveness.begin();
    for (let look = 0; look < 4; look++) {
      await clock.advance(5000);
    }
    expect(one.connection.stream.destroyed).toBeUndefined();
  });

  it('keeps no timer without clients, after its end, or where it is switched off', async () => {
    const { pass, clock } = setUp([], []);
    await pass(5000);
    expect(clock.pending).toBe(0);
    const { liveness, clock: other } = setUp([client()], []);
    liveness.close();
    expect(other.pending).toBe(0);
    const never = new ManualClock();
    new Liveness(() => [], never, Infinity).begin();
    expect(never.pending).toBe(0);
  });
});

describe('asking a host', () => {
  async function asked(answer: (socket: Socket, bytes: Buffer) => void, limitMs = 30_000) {
    const server = createServer((socket) => socket.on('data', (bytes) => answer(socket, bytes)));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      return await askHost('127.0.0.1', port, limitMs);
    } finally {
      server.close();
    }
  }

  it('is answered by one byte to a request for TLS', async () => {
    const seen: string[] = [];
    const answers = await asked((socket, bytes) => {
      seen.push(bytes.toString('hex'));
      socket.write('N');
    });
    expect([answers, seen]).toEqual([true, ['0000000804d2162f']]);
  });

  it.each<[string, (socket: Socket) => void, number]>([
    ['hangs up', (socket) => socket.end(), 30_000],
    ['resets', (socket) => socket.resetAndDestroy(), 30_000],
    ['is silent', () => {}, 50],
  ])('is refused by one that %s', async (_, answer, limitMs) => {
    expect(await asked(answer, limitMs)).toBe(false);
  });

  it('is refused where nobody listens, and not where this machine is at fault', async () => {
    expect(await askHost('127.0.0.1', 1, 30_000)).toBe(false);
    // No such folder: whether the server lives is not known.
    expect(await askHost('/no/such/folder', 5432, 30_000)).toBe(true);
  });
});
