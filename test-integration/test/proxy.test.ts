import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FaultProxy, startProxy } from '../faults/index.js';
import { freePort, waitFor } from '../servers/index.js';

/** An echo server that remembers what it got, and a client that remembers what came back. */
let server: Server;
let got = '';
let serverSockets: Set<Socket>;
let proxy: FaultProxy;
const clients: Client[] = [];

class Client {
  text = '';
  code: string | undefined;
  ended = false;
  closed = false;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (text: string) => {
      this.text += text;
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.code = error.code;
    });
    this.socket.on('end', () => {
      this.ended = true;
    });
    this.socket.on('close', () => {
      this.closed = true;
    });
    clients.push(this);
  }

  async says(text: string, reply = text): Promise<void> {
    const before = this.text.length;
    this.socket.write(text);
    await waitFor(() => this.text.slice(before) === reply, { what: `the echo of ${text}` });
  }

  async gone(): Promise<void> {
    await waitFor(() => this.closed, { what: 'the client to be cut' });
  }
}

async function client(): Promise<Client> {
  const one = new Client(proxy.port);
  await once(one.socket, 'connect');
  return one;
}

beforeEach(async () => {
  got = '';
  serverSockets = new Set();
  server = createServer((socket) => {
    serverSockets.add(socket);
    socket.on('close', () => serverSockets.delete(socket));
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      got += chunk.toString('latin1');
      socket.write(chunk);
    });
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  proxy = await startProxy({ targetPort: port });
});

afterEach(async () => {
  for (const one of clients.splice(0)) one.socket.destroy();
  await proxy.close();
  for (const socket of serverSockets) socket.destroy();
  server.close();
});

describe('a proxy', () => {
  it('forwards, counts bytes and requests, and passes ends on', async () => {
    const one = await client();
    await one.says('abc');
    await one.says('defg');
    expect(proxy.connections).toEqual([{ id: 1, requestBytes: 7, replyBytes: 7, requests: 2 }]);
    one.socket.end();
    await one.gone();
    await waitFor(() => proxy.open === 0 && serverSockets.size === 0);
    expect(proxy.counts).toMatchObject({ connections: 1, resets: 0, fins: 0 });
  });

  it('carries much more than fits in a buffer', async () => {
    const one = await client();
    const block = 'x'.repeat(8_000_000);
    await one.says(block);
    expect(got.length).toBe(block.length);
  });

  it('refuses for real, and listens on the same port again', async () => {
    const before = await client();
    await before.says('a');
    proxy.refuse();
    const refused = new Client(proxy.port);
    await refused.gone();
    expect(refused.code).toBe('ECONNREFUSED');
    await before.says('still here');
    await proxy.accept();
    await proxy.accept();
    await (await client()).says('b');
    expect(proxy.counts).toMatchObject({ refusals: 1, connections: 2 });
  });

  it('cuts by RST and by FIN, one or all', async () => {
    const [one, two, three] = [await client(), await client(), await client()];
    for (const each of [one, two, three]) await each.says('x');
    proxy.cut(2, 'fin');
    await two.gone();
    expect(two).toMatchObject({ ended: true, code: undefined });
    await one.says('y');
    expect(proxy.cutAll()).toBe(2);
    await Promise.all([one.gone(), three.gone()]);
    expect([one.code, three.code]).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(proxy.counts).toMatchObject({ resets: 2, fins: 1 });
    await waitFor(() => proxy.open === 0 && serverSockets.size === 0);
  });

  it('resets its clients where the server is down', async () => {
    const lonely = await startProxy({ targetPort: await freePort() });
    const one = new Client(lonely.port);
    await one.gone();
    expect(one.code).toBe('ECONNRESET');
    expect(lonely.counts.unreachable).toBe(1);
    lonely.retarget(proxy.port);
    await new Client(lonely.port).says('elsewhere');
    await lonely.close();
  });

  it('delays each direction and keeps the order', async () => {
    const one = await client();
    await one.says('quick');
    proxy.delay({ replyMs: 150 });
    const start = performance.now();
    one.socket.write('1');
    await waitFor(() => got.endsWith('1'));
    proxy.delay(0);
    one.socket.write('2');
    await waitFor(() => one.text === 'quick12');
    expect(performance.now() - start).toBeGreaterThan(140);
  });

  it('holds everything in a silence, also on new connections', async () => {
    const one = await client();
    await one.says('before');
    proxy.silence();
    const two = await client();
    one.socket.write('one');
    two.socket.write('two');
    await waitFor(() => proxy.connections.every((each) => each.requestBytes >= 3));
    expect(got).toBe('before');
    expect(serverSockets.size).toBe(1);
    proxy.speak();
    await waitFor(() => one.text === 'beforeone' && two.text === 'two');
  });

  it('drops what is said in a silence that drops; that connection stays silent', async () => {
    const one = await client();
    await one.says('before');
    proxy.silence('drop');
    one.socket.write('lost');
    await waitFor(() => proxy.connections[0]?.requestBytes === 10);
    proxy.speak();
    one.socket.write('lost too');
    await (await client()).says('heard');
    expect(got).toBe('beforeheard');
    one.socket.end();
    await one.gone();
  });
});

describe('an armed fault', () => {
  it.each(['reset', 'fin'] as const)('cuts before the request (%s)', async (how) => {
    const fault = proxy.arm({ when: { bytes: /write/i, nth: 2 }, fault: 'cut-before', how });
    const one = await client();
    await one.says('WRITE 1');
    await one.says('read');
    one.socket.write('write 2');
    expect(await fault.hit).toEqual({ fault: 'cut-before', connection: 1, delivered: false });
    await one.gone();
    expect(one.code).toBe(how === 'reset' ? 'ECONNRESET' : undefined);
    await waitFor(() => serverSockets.size === 0);
    expect(got).toBe('WRITE 1read');
    await (await client()).says('write 3');
    expect(proxy.counts).toMatchObject({ cutBefore: 1, resets: how === 'reset' ? 1 : 0 });
  });

  it.each(['reset', 'fin'] as const)('cuts after the server has answered (%s)', async (how) => {
    const fault = proxy.arm({ when: { bytes: 'write' }, fault: 'cut-after', how });
    const one = await client();
    one.socket.write('wr');
    await waitFor(() => one.text === 'wr');
    one.socket.write('ite 1');
    expect(await fault.hit).toMatchObject({ delivered: true });
    await one.gone();
    expect(one.text).toBe('wr');
    expect(got).toBe('write 1');
    expect(proxy.counts).toMatchObject({ cutAfter: 1, cutUnanswered: 0 });
  });

  it('cuts an unanswered request when its time is up, and says so', async () => {
    const fault = proxy.arm({
      when: { bytes: 'x' },
      fault: 'cut-after',
      answered: 'never',
      answerMs: 50,
    });
    const one = await client();
    one.socket.write('x');
    expect(await fault.hit).toMatchObject({ delivered: false });
    await one.gone();
    expect(proxy.counts).toMatchObject({ cutAfter: 0, cutUnanswered: 1 });
  });

  it('holds a request back while its client is cut at once', async () => {
    const fault = proxy.arm({ when: { bytes: 'commit' }, fault: 'hold', holdMs: 300 });
    const one = await client();
    await one.says('begin');
    one.socket.write('commit');
    await one.gone();
    expect(one.code).toBe('ECONNRESET');
    expect(got).toBe('begin');
    expect(serverSockets.size).toBe(1);
    expect(await fault.hit).toMatchObject({ delivered: true });
    expect(got).toBe('begincommit');
    await waitFor(() => serverSockets.size === 0);
  });

  it('says so when the server ended the session before the held request came', async () => {
    const fault = proxy.arm({ when: { bytes: 'commit' }, fault: 'hold', holdMs: 60_000 });
    const one = await client();
    one.socket.write('commit');
    await one.gone();
    for (const socket of serverSockets) socket.end('terminated');
    expect(await fault.hit).toMatchObject({ delivered: false });
    expect(got).toBe('');
  });

  it('swallows replies in silence and leaves the connection open', async () => {
    const fault = proxy.arm({ when: { bytes: 'ping' }, fault: 'silence' });
    const one = await client();
    await one.says('hello');
    one.socket.write('ping');
    await fault.hit;
    await waitFor(() => got === 'helloping');
    await (await client()).says('ping');
    expect(one).toMatchObject({ text: 'hello', closed: false });
    expect(proxy.counts.silenced).toBe(1);
  });

  it('strikes at replies too', async () => {
    const one = await client();
    const before = proxy.arm({ when: { bytes: 'a', direction: 'reply' }, fault: 'cut-before' });
    one.socket.write('a');
    await before.hit;
    await one.gone();
    expect(one.text).toBe('');

    const two = await client();
    const after = proxy.arm({
      when: { bytes: 'b', direction: 'reply' },
      fault: 'cut-after',
      how: 'fin',
    });
    two.socket.write('b');
    await after.hit;
    await two.gone();
    expect(two.text).toBe('b');

    const three = await client();
    const hold = proxy.arm({
      when: { bytes: 'c', direction: 'reply' },
      fault: 'hold',
      holdMs: 100,
    });
    const start = performance.now();
    await three.says('c');
    expect(performance.now() - start).toBeGreaterThan(90);
    expect(await hold.hit).toMatchObject({ delivered: true });
    await three.says('d');
  });

  it('counts requests without reading them, and strikes as often as told', async () => {
    const fault = proxy.arm({ when: { requestNumber: 3 }, fault: 'cut-before', times: 2 });
    const one = await client();
    await one.says('1');
    await one.says('2');
    one.socket.write('3');
    await one.gone();
    const two = await client();
    two.socket.write('4');
    await two.gone();
    await (await client()).says('5');
    expect(fault).toMatchObject({ fired: 2, live: false });
    expect(got).toBe('125');
  });

  it('does not see what passed before it was armed, nor anything once disarmed', async () => {
    const one = await client();
    const other = proxy.arm({ when: { bytes: 'nothing' }, fault: 'silence' });
    await one.says('commit');
    const fault = proxy.arm({ when: { bytes: 'commit' }, fault: 'cut-before' });
    await one.says('x');
    fault.disarm();
    await one.says('commit');
    expect([fault.fired, other.fired]).toEqual([0, 0]);
  });
});

describe('a storm', () => {
  it('hits the share of requests that it was told to, by the faults it was given', async () => {
    let n = 0;
    const numbers = [0.2, 0.1, 0.9, 0.2, 0.9];
    const random = (): number => numbers[n++ % numbers.length] as number;
    const storm = proxy.random({
      random,
      rate: 0.5,
      faults: ['cut-before', 'cut-after'],
      match: /write/,
    });
    const one = await client();
    await one.says('read');
    one.socket.write('write a');
    await one.gone();
    const two = await client();
    await two.says('write b');
    two.socket.write('write c');
    await two.gone();
    expect(got).toBe('readwrite bwrite c');
    expect(storm).toMatchObject({ matched: 3, fired: 2 });
    expect(proxy.counts).toMatchObject({ cutBefore: 1, cutAfter: 1 });
    storm.stop();
    await proxy.heal();
    await (await client()).says('write d');
  });
});
