import { createPrivateKey } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { Agent, type AgentOptions } from 'node:https';
import { createServer, connect as dial, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SecureVersion } from 'node:tls';
import { inspect } from 'node:util';
import { isOutcomeUnknown, type Retrying, retryInfo, withRetry } from '@outlast/http-retry';
import axios, { type AxiosInstance } from 'axios';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startProxy } from '../../faults/index.js';
import { HttpScript } from '../../servers/index.js';
import { makeCertificate } from '../support/certificate.js';
import { failureOf } from '../support/errors.js';
import { ServedFile } from '../support/files-server.js';

const CANARY = 's3cret-canary';
const retry = { baseDelayMs: 10, maxAttempts: 4, jitter: false, waitMs: 30_000 } as const;

const authority = await makeCertificate('Our authority');
const leaf = await makeCertificate('127.0.0.1', { issuer: authority });
const entry = await makeCertificate('client', { issuer: authority });
const agents: Agent[] = [];

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outlast-tls-'));
});
afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy();
  await rm(folder, { recursive: true, force: true });
});

const target = (): string => join(folder, 'f.bin');

/** A client of the server, with an agent that trusts our authority unless told otherwise. */
function client(port: number, options: AgentOptions = {}): Retrying & AxiosInstance {
  const httpsAgent = new Agent({ ca: authority.cert, ...options });
  agents.push(httpsAgent);
  const headers = { Authorization: `Bearer ${CANARY}` };
  return withRetry(
    axios.create({ baseURL: `https://127.0.0.1:${port}`, httpsAgent, headers }),
    retry,
  );
}

/** Fails at once, sends nothing, and says what is the matter without telling secrets. */
async function expectRefusal(
  server: HttpScript,
  asking: Retrying & AxiosInstance,
  code: string | RegExp,
  message: RegExp,
): Promise<void> {
  const requests = [
    () => asking.get('/a'),
    () => asking.post('/a', 'x'),
    () => asking.download('/a', target()),
  ];
  for (const ask of requests) {
    const before = server.connections;
    const error = await failureOf(ask());
    expect(error.code).toMatch(code);
    expect(error.message).toMatch(message);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    expect(isOutcomeUnknown(error)).toBe(false);
    expect(server.connections - before).toBe(1);
    const shown = inspect(error, { depth: 12, showHidden: true }) + JSON.stringify(error);
    for (const secret of [CANARY, 'PRIVATE KEY', 'passphrase']) expect(shown).not.toContain(secret);
  }
  expect(server.requests).toEqual([]);
  expect(await readdir(folder)).toEqual([]);
}

describe('a certificate', () => {
  it('that nobody vouches for is refused, at once, and nothing is sent', async () => {
    const alone = await makeCertificate('alone');
    await using selfSigned = await HttpScript.start(alone);
    const asking = client(selfSigned.port, { ca: undefined });
    await expectRefusal(
      selfSigned,
      asking,
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      /self-signed certificate/,
    );
    await using signed = await HttpScript.start(leaf);
    const unknowing = client(signed.port, { ca: undefined });
    await expectRefusal(signed, unknowing, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', /unable to verify/);
  });

  it('of an authority that the caller trusts is accepted', async () => {
    await using server = await HttpScript.start(leaf);
    const asking = client(server.port);
    expect((await asking.get('/a')).data).toBe('ok');
    expect((await asking.post('/a', 'x')).data).toBe('ok');
    expect((await asking.healthCheck('/health')).ok).toBe(true);
    expect((await asking.download('/a', target())).bytes).toBe(2);
  });

  it('for another host is refused, and the error names both', async () => {
    const elsewhere = await makeCertificate('elsewhere', {
      issuer: authority,
      host: 'elsewhere.example',
    });
    await using server = await HttpScript.start(elsewhere);
    const names =
      /127\.0\.0\.1.*elsewhere\.example|elsewhere\.example.*127\.0\.0\.1|127\.0\.0\.1 is not in the cert/;
    await expectRefusal(server, client(server.port), 'ERR_TLS_CERT_ALTNAME_INVALID', names);
  });

  it('that has expired is refused', async () => {
    const yesterday = new Date(Date.now() - 86_400_000);
    const old = await makeCertificate('old', { issuer: authority, notAfter: yesterday });
    await using server = await HttpScript.start(old);
    await expectRefusal(server, client(server.port), 'CERT_HAS_EXPIRED', /certificate has expired/);
  });
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'a client certificate that the server requires, %s',
  (version) => {
    const strict = (version: SecureVersion) => ({
      ...leaf,
      ca: authority.cert,
      requestCert: true,
      minVersion: version,
      maxVersion: version,
    });
    let server: HttpScript;

    beforeAll(async () => {
      server = await HttpScript.start(strict(version));
    });
    beforeEach(() => server.reset());
    afterAll(() => server.close());

    it('lets in who shows it, also by an encrypted key', async () => {
      const key = createPrivateKey(entry.key);
      const cipher = { cipher: 'aes-256-cbc', passphrase: CANARY } as const;
      const encrypted = key.export({ type: 'pkcs8', format: 'pem', ...cipher }).toString();
      for (const shown of [{ key: entry.key }, { key: encrypted, passphrase: CANARY }]) {
        const asking = client(server.port, { cert: entry.cert, ...shown });
        expect((await asking.post('/a', 'x')).data).toBe('ok');
        expect((await asking.download('/a', target())).bytes).toBe(2);
      }
    });

    it('refuses who shows none: once, and nothing is taken', async () => {
      const code = version === 'TLSv1.2' ? 'EPROTO' : 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED';
      await expectRefusal(
        server,
        client(server.port),
        code,
        /alert (handshake failure|certificate required)/,
      );
    });

    // Node's server hangs up without a word: it looks like a cut, for nobody can tell.
    it('takes nothing of who shows a stranger’s', async () => {
      const stranger = await makeCertificate('client', {
        issuer: await makeCertificate('Another authority'),
      });
      const asking = client(server.port, { key: stranger.key, cert: stranger.cert });
      const lost = await failureOf(asking.post('/a', 'x'));
      // 1.2 ends inside the handshake, where nothing has been sent.
      const attempts = isOutcomeUnknown(lost) ? 1 : 4;
      expect([lost.code, server.connections]).toEqual(['ECONNRESET', attempts]);
      if (version === 'TLSv1.3') expect(attempts).toBe(1);
      expect(retryInfo(await failureOf(asking.get('/a')))?.attempts).toBe(4);
      expect(server.requests).toEqual([]);
    });
  },
);

it('a key that does not open, or does not fit, fails before anything is dialled, and is not shown', async () => {
  await using server = await HttpScript.start({ ...leaf, ca: authority.cert, requestCert: true });
  const { key, cert } = await makeCertificate('client', { issuer: authority });
  const cipher = { cipher: 'aes-256-cbc', passphrase: 'right' } as const;
  const encrypted = createPrivateKey(key).export({ type: 'pkcs8', format: 'pem', ...cipher });
  const other = (await makeCertificate('other')).key;
  for (const shown of [
    { cert, key: encrypted.toString(), passphrase: CANARY },
    { cert, key: other },
  ]) {
    const asking = client(server.port, shown);
    const error = await failureOf(asking.post('/a', 'x'));
    expect(error.code).toMatch(/^ERR_OSSL_/);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    expect(isOutcomeUnknown(error)).toBe(false);
    const text = inspect(error, { depth: 12, showHidden: true });
    for (const secret of [CANARY, 'PRIVATE KEY']) expect(text).not.toContain(secret);
  }
  expect([server.connections, server.requests.length]).toEqual([0, 0]);
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a wire that breaks, %s', (version) => {
  let server: HttpScript;

  beforeAll(async () => {
    server = await HttpScript.start({ ...leaf, minVersion: version, maxVersion: version });
  });
  beforeEach(() => server.reset());
  afterAll(() => server.close());

  it.each(['get', 'post'] as const)(
    'in the handshake: a %s is sent anew, and arrives once',
    async (method) => {
      await using proxy = await startProxy({ targetPort: server.port });
      const armed = proxy.arm({ when: { requestNumber: 1 }, fault: 'cut-after', times: 2 });
      const asking = client(proxy.port, { keepAlive: true });
      expect((await asking.request({ method, url: '/a' })).status).toBe(200);
      expect([armed.fired, server.requests.length]).toEqual([2, 1]);
      await asking.post('/b', 'y');
      expect(server.connections).toBe(3);
    },
  );

  it('after the request: a get is sent again, a post is unknown', async () => {
    await using proxy = await startProxy({ targetPort: server.port });
    const asking = client(proxy.port, { keepAlive: true });
    await asking.get('/warm');
    proxy.arm({ when: { requestNumber: 1 }, fault: 'cut-after' });
    await asking.get('/a');
    proxy.arm({ when: { requestNumber: 1 }, fault: 'cut-after' });
    const error = await failureOf(asking.post('/b', 'x'));
    expect([error.code, isOutcomeUnknown(error)]).toEqual(['ECONNRESET', true]);
    expect(server.requests.map(({ url }) => url)).toEqual(['/warm', '/a', '/a', '/b']);
  });

  it('inside a download: it goes on where it was', async () => {
    const file = new ServedFile(3_000_000, { etag: '"v1"', cuts: [1_000_000, 1_000_000] });
    server.handler = (request, response) => file.answer(request, response);
    const done = await client(server.port).download('/f', target(), { sha256: file.sha256 });
    expect(done).toMatchObject({
      bytes: 3_000_000,
      requests: 3,
      restarts: 0,
      receivedBytes: 3_000_000,
    });
    expect(server.requests.map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=1000000-',
      'bytes=2000000-',
    ]);
    expect((await readFile(target())).equals(file.bytes)).toBe(true);
    server.handler = (_request, response) => response.end('ok');
  });

  it('and garbles what is on it: a get is sent again, a post is unknown', async () => {
    await using wire = await GarblingWire.start(server.port);
    const asking = client(wire.port, { keepAlive: true });
    await asking.get('/warm');
    wire.garbleNext();
    expect((await asking.get('/a')).data).toBe('ok');
    wire.garbleNext();
    const error = await failureOf(asking.post('/b', 'x'));
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(server.requests.map(({ url }) => url)).toEqual(['/warm', '/a', '/a', '/b']);
  });
});

it('a server that is mute in the handshake costs an attempt each time, not patience without end', async () => {
  let accepted = 0;
  const mute = createServer((socket) => {
    accepted += 1;
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', () => resolve()));
  const asking = client((mute.address() as { port: number }).port);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    let error: { code?: string } | undefined;
    asking.post('/a', 'x').catch((thrown) => {
      error = thrown;
    });
    // Ten times as long as four attempts can take.
    for (let seconds = 0; error === undefined && seconds < 400; seconds++) {
      await vi.advanceTimersByTimeAsync(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(error?.code).toBe('ERR_SOCKET_CONNECTION_TIMEOUT');
    expect(retryInfo(error)).toMatchObject({ attempts: 4, outcome: 'not-applied' });
    expect(accepted).toBe(4);
  } finally {
    vi.useRealTimers();
    asking.close();
    mute.close();
  }
});

/** A wire on which one bit of an answer flips. */
class GarblingWire implements AsyncDisposable {
  readonly #server: Server;
  #garbling = false;

  static async start(target: number): Promise<GarblingWire> {
    const wire = new GarblingWire(target);
    await new Promise<void>((resolve) => wire.#server.listen(0, '127.0.0.1', () => resolve()));
    return wire;
  }

  private constructor(target: number) {
    this.#server = createServer((client) => {
      const server = dial(target, '127.0.0.1');
      client.pipe(server);
      server.on('data', (bytes) => {
        if (this.#garbling) bytes[bytes.length - 1] = ~(bytes.at(-1) as number) & 0xff;
        this.#garbling = false;
        client.write(bytes);
      });
      server.on('end', () => client.end());
      server.on('error', () => client.destroy());
      client.on('error', () => server.destroy());
    });
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  garbleNext(): void {
    this.#garbling = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
  }
}
