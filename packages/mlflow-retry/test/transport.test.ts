import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { isClosedError, isOutcomeUnknown, retryInfo } from '@outlast/core-retry';
import { afterEach, describe, expect, it } from 'vitest';
import { MlflowClient, type MlflowClientOptions } from '../src/index.js';
import { json, type Script, ScriptedServer } from './scripted-server.js';

const clients: MlflowClient[] = [];
const servers: ScriptedServer[] = [];
const run = { info: { run_id: 'r' }, data: {} };

async function serve(script: Script): Promise<ScriptedServer> {
  const server = await ScriptedServer.start(script);
  servers.push(server);
  return server;
}

function connect(server: ScriptedServer, options: MlflowClientOptions = {}): MlflowClient {
  const { retry, ...rest } = options;
  const client = new MlflowClient({
    trackingUri: server.url,
    retry: { baseDelayMs: 1, maxDelayMs: 5000, ...retry },
    ...rest,
  });
  clients.push(client);
  return client;
}

// biome-ignore lint/suspicious/noExplicitAny: whatever was thrown is what a test wants to look into
const failed = (promise: Promise<unknown>): Promise<any> =>
  promise.then(
    () => expect.fail('It resolved.'),
    (error) => error,
  );

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
});

describe('an answer', () => {
  it('is asked for again after a reset, a cut body and 503, and the inner object comes', async () => {
    const server = await serve((_, response, number) => {
      if (number === 1) response.destroy();
      else if (number === 2) {
        response.writeHead(200, { 'content-length': '900', 'content-type': 'application/json' });
        response.write('{"run":', () => response.destroy());
      } else if (number === 3) response.writeHead(503).end();
      else if (number === 4) {
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"run": {"inf');
      } else json(response, { run });
    });
    const client = connect(server, { retry: { maxAttempts: 9 } });
    expect((await client.getRun('r')).info).toEqual({ run_id: 'r' });
  });

  it('that refuses for good is asked for once', async () => {
    const server = await serve((_, response) =>
      json(response, { error_code: 'RESOURCE_DOES_NOT_EXIST', message: 'no run' }, 404),
    );
    const error = await failed(connect(server).getRun('r'));
    expect(error).toMatchObject({ status: 404, errorCode: 'RESOURCE_DOES_NOT_EXIST' });
    expect(error.message).toBe(
      'mlflow.getRun was answered with 404 RESOURCE_DOES_NOT_EXIST: no run',
    );
    expect(server.asked.length).toBe(1);
  });

  it('of 500 is asked for twice, however many attempts there may be', async () => {
    const server = await serve((_, response) =>
      json(response, { error_code: 'INTERNAL_ERROR', message: 'x' }, 500),
    );
    await failed(connect(server, { retry: { maxAttempts: 9 } }).getRun('r'));
    expect(server.asked.length).toBe(2);
  });

  it('that is a login page is asked for twice, and is an error although it says 200', async () => {
    const server = await serve((_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html><title>Log in</title>'),
    );
    const error = await failed(connect(server, { retry: { maxAttempts: 9 } }).getRun('r'));
    expect(error).toMatchObject({ status: 200, html: true });
    expect(error.message).toContain('an HTML page, “Log in”');
    expect(server.asked.length).toBe(2);
  });

  it('says when to come back, and is obeyed; not beyond maxDelayMs', async () => {
    const server = await serve((_, response, number) => {
      if (number === 1) response.writeHead(429, { 'retry-after': '1' }).end();
      else if (number === 2) json(response, { run });
      else response.writeHead(503, { 'retry-after': '3600' }).end();
    });
    const client = connect(server);
    const delays: number[] = [];
    client.policy.on('retry', ({ delayMs }) => delays.push(delayMs));
    await client.getRun('r');
    expect(delays).toEqual([1000]);
    expect(retryInfo(await failed(client.getRun('r')))).toMatchObject({
      reason: 'retry-after',
      retryAfterMs: 3_600_000,
    });
  });

  it('of a refusal that is longer than an error needs is destroyed unread', async () => {
    let closed = false;
    const server = await serve((_, response) => {
      response.on('close', () => {
        closed = !response.writableFinished;
      });
      response.writeHead(400, { 'content-type': 'text/plain' });
      const more = (): void => {
        while (response.write('x'.repeat(65_536)));
        response.once('drain', more);
      };
      more();
    });
    const error = await failed(connect(server).getRun('r'));
    expect(error.status).toBe(400);
    await expect.poll(() => closed).toBe(true);
  });
});

describe('silence', () => {
  it('ends an attempt before the answer, and within it', async () => {
    const server = await serve((_, response, number) => {
      if (number === 1) return;
      if (number === 2) {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"run":');
      } else json(response, { run });
    });
    const client = connect(server, { timeoutMs: 60 });
    const errors: unknown[] = [];
    client.policy.on('retry', ({ error }) => errors.push(error));
    await client.getRun('r');
    expect(errors).toMatchObject([{ code: 'ETIMEDOUT' }, { code: 'ETIMEDOUT' }]);
  });
});

describe('a gateway whose server is away', () => {
  it('is waited for, as the server itself would be', async () => {
    let up = false;
    const server = await serve(({ url }, response) => {
      if (!up) response.writeHead(502, { 'content-type': 'text/html' }).end('<html>Bad Gateway');
      else if (url === '/health') response.end('OK');
      else json(response, { run });
    });
    const client = connect(server, { retry: { maxAttempts: 2, waitMs: 5000 } });
    const told: string[] = [];
    client.policy.on('down', () => told.push('down'));
    client.policy.on('up', () => told.push('up'));
    const pending = client.getRun('r');
    const probes = (): number => server.asked.filter(({ url }) => url === '/health').length;
    await expect.poll(probes).toBeGreaterThanOrEqual(3);
    up = true;
    expect((await pending).info.run_id).toBe('r');
    expect(told).toEqual(['down', 'up']);
  });

  it('that says so of one route only is asked as often as there are attempts', async () => {
    const server = await serve(({ url }, response) => {
      if (url === '/health') response.end('OK');
      else response.writeHead(502).end();
    });
    await failed(connect(server, { retry: { maxAttempts: 3 } }).getRun('r'));
    expect(server.asked.filter(({ url }) => url !== '/health').length).toBe(3);
  });
});

describe('a redirect', () => {
  it('is followed by reads; credentials stay with the origin they are meant for', async () => {
    const elsewhere = await serve((_, response) => json(response, { run }));
    const server = await serve(({ url }, response) => {
      const location = url.includes('runs/get')
        ? `${server.url}/moved`
        : `${elsewhere.url}/elsewhere?x=1`;
      response.writeHead(302, { location }).end();
    });
    const client = connect(server, {
      token: 'tok',
      workspace: 'w',
      headers: { 'x-api-key': 'secret' },
    });
    await client.getRun('r');
    expect(server.asked[1]?.headers.authorization).toBe('Bearer tok');
    const [{ headers }] = elsewhere.asked as [(typeof elsewhere.asked)[number]];
    expect(headers).not.toHaveProperty('authorization');
    expect(headers).not.toHaveProperty('x-api-key');
    expect(headers).not.toHaveProperty('x-mlflow-workspace');
  });

  it('is refused where it loops, and to what changes something', async () => {
    const server = await serve((_, response) =>
      response.writeHead(301, { location: '/again' }).end(),
    );
    const client = connect(server);
    expect((await failed(client.getRun('r'))).message).toContain('more than 5 redirects');
    const asked = server.asked.length;
    const error = await failed(client.createRun('0'));
    expect(error.message).toContain('only reads follow redirects');
    expect(isOutcomeUnknown(error)).toBe(false);
    expect(server.asked.length).toBe(asked + 1);
  });
});

describe('a create', () => {
  const created = (name: string, tags: unknown): object => ({
    registered_model: { name, tags },
  });

  it('that arrives late makes its own repetition a duplicate, and is told by its tag', async () => {
    let tags: unknown;
    let looks = 0;
    const server = await serve(({ method, url, body }, response) => {
      if (method === 'POST' && tags === undefined) {
        tags = JSON.parse(body).tags;
        response.destroy();
      } else if (method === 'POST') {
        json(response, { error_code: 'RESOURCE_ALREADY_EXISTS', message: 'exists' }, 400);
      } else if (url.includes('registered-models/get')) {
        looks += 1;
        if (looks <= 2) json(response, { error_code: 'RESOURCE_DOES_NOT_EXIST' }, 404);
        else json(response, created('m', tags));
      } else response.end('OK');
    });
    expect((await connect(server).createRegisteredModel('m')).name).toBe('m');
    expect(server.asked.filter(({ method }) => method === 'POST').length).toBe(2);
  });

  it('whose name somebody else has taken meanwhile fails', async () => {
    let posts = 0;
    const server = await serve(({ method, url }, response) => {
      if (method === 'POST') {
        posts += 1;
        if (posts === 1) response.destroy();
        else json(response, { error_code: 'RESOURCE_ALREADY_EXISTS', message: 'exists' }, 400);
      } else if (url.includes('registered-models/get')) {
        json(response, created('m', [{ key: 'outlast.operation', value: 'of another' }]));
      } else response.end('OK');
    });
    const error = await failed(connect(server).createRegisteredModel('m'));
    expect(error.errorCode).toBe('RESOURCE_ALREADY_EXISTS');
    expect(posts).toBe(2);
  });
});

describe('an upload', () => {
  it('is sent whole, however often it must be begun', async () => {
    const artifact_uri = 'mlflow-artifacts:/0/r/artifacts';
    let puts = 0;
    const server = await serve(({ method, url }, response) => {
      if (method === 'PUT') puts += 1;
      if (url.includes('runs/get')) json(response, { run: { info: { artifact_uri }, data: {} } });
      else if (puts === 2) response.destroy();
      else response.end();
    });
    const { port } = server;
    const client = connect(server, { retry: { maxAttempts: 4, waitMs: 5000 } });
    await client.logText('r', 'first', 'a.txt');
    await server.close();
    let down = false;
    client.policy.on('down', () => {
      down = true;
    });
    const file = fileURLToPath(import.meta.url);
    const pending = client.logArtifact('r', file);
    await expect.poll(() => down).toBe(true);
    await server.listen(port);
    await pending;
    const sent = server.asked.filter(({ method }) => method === 'PUT').map(({ body }) => body);
    expect(sent).toEqual(['first', readFileSync(file, 'utf8'), readFileSync(file, 'utf8')]);
  });
});

describe('metrics', () => {
  it('are not repeated where the store would keep them twice', async () => {
    const server = await serve(({ url }, response) => {
      if (url.includes('server-info')) json(response, { store_type: 'FileStore' });
      else response.destroy();
    });
    const error = await failed(connect(server).logMetric('r', 'loss', 1));
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(server.asked.filter(({ url }) => url.includes('log-metric')).length).toBe(1);
  });

  it('do not wait twice for a server that is away: it is not asked for a store that nobody reaches', async () => {
    const server = await ScriptedServer.start(() => {});
    const { url } = server;
    await server.close();
    const client = new MlflowClient({ trackingUri: url, retry: { waitMs: 50 } });
    clients.push(client);
    const told: string[] = [];
    client.policy.on('exhausted', ({ operation }) => told.push(operation));
    const error = await failed(client.logMetric('r', 'loss', 1));
    expect(error.code).toBe('ECONNREFUSED');
    expect(isOutcomeUnknown(error)).toBe(false);
    expect(told).toEqual(['mlflow.serverInfo']);
  });

  it('are not repeated where the server does not say what it keeps', async () => {
    const server = await serve(({ url }, response) => {
      if (url.includes('server-info')) json(response, { error_code: 'INTERNAL_ERROR' }, 500);
      else response.destroy();
    });
    const error = await failed(connect(server).logMetric('r', 'loss', 1));
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(server.asked.filter(({ url }) => url.includes('log-metric')).length).toBe(1);
  });

  it('keep within their bounds while it is asked which store that is', async () => {
    const server = await serve(() => {});
    const start = performance.now();
    await failed(connect(server).logMetric('r', 'loss', 1, { totalTimeoutMs: 100 }));
    expect(performance.now() - start).toBeLessThan(1500);
  });
});

describe('TLS that fails', () => {
  it('is an error at once, and nothing was sent', async () => {
    const server = await serve((_, response) => json(response, { run }));
    const client = connect(server, { trackingUri: `https://127.0.0.1:${server.port}` });
    const error = await failed(client.createRun('0'));
    expect(error.code).toMatch(/^(EPROTO|ERR_SSL)/);
    expect(retryInfo(error)).toMatchObject({
      attempts: 1,
      reason: 'permanent',
      outcome: 'not-applied',
    });
    expect(server.asked).toEqual([]);
  });
});

describe('the caller’s own classifier', () => {
  it('has its say', async () => {
    const server = await serve((_, response) => response.writeHead(418).end());
    const classify = () =>
      ({ category: 'unavailable', transient: true, outcome: 'unknown' }) as const;
    await failed(connect(server, { retry: { maxAttempts: 3, classify } }).getRun('r'));
    expect(server.asked.length).toBe(3);
  });
});

describe('an answer that nobody reads', () => {
  it('may be cut without ending the process', async () => {
    const server = await serve(({ method, url }, response) => {
      const artifact_uri = 'mlflow-artifacts:/0/r/artifacts';
      if (url.includes('runs/get')) json(response, { run: { info: { artifact_uri }, data: {} } });
      else if (method === 'PUT') {
        response.writeHead(200, { 'content-length': '100' });
        response.write('{', () => response.destroy());
      }
    });
    const client = connect(server);
    await client.logText('r', 'text', 'a.txt');
    await expect.poll(() => client.transport.gate.load.running).toBe(0);
  });
});

describe('pages', () => {
  it('end with one that has a token and nothing else', async () => {
    const server = await serve(({ body }, response) => {
      const { page_token } = JSON.parse(body);
      if (page_token === undefined) json(response, { runs: [run, run], next_page_token: 'a' });
      else json(response, { next_page_token: 'b' });
    });
    const found = [];
    for await (const one of connect(server).eachRun(['0'])) found.push(one);
    expect(found.length).toBe(2);
    expect(server.asked.length).toBe(2);
  });
});

describe('many calls', () => {
  it('are 15 at a time', async () => {
    const held: (() => void)[] = [];
    const server = await serve((_, response) => {
      held.push(() => json(response, { run }));
    });
    const client = connect(server);
    const pending = Promise.all(Array.from({ length: 40 }, () => client.getRun('r')));
    for (const asked of [15, 30, 40]) {
      await expect.poll(() => server.asked.length).toBe(asked);
      await expect.poll(() => client.transport.gate.load.running).toBe(held.length);
      for (const answer of held.splice(0)) answer();
    }
    await pending;
  });

  it('end at once when the client is closed', async () => {
    const server = await serve(() => {});
    const client = connect(server, { maxConcurrent: 2 });
    const pending = Array.from({ length: 5 }, () => failed(client.getRun('r')));
    await expect.poll(() => server.asked.length).toBe(2);
    client.close();
    for (const error of await Promise.all(pending)) expect(error).toBeInstanceOf(Error);
    expect(isClosedError(await failed(client.getRun('r')))).toBe(true);
  });

  it('end with the reason of the caller’s signal, under way or not', async () => {
    const server = await serve(() => {});
    const client = connect(server);
    const controller = new AbortController();
    const { signal } = controller;
    const pending = Array.from({ length: 20 }, () => failed(client.getRun('r', { signal })));
    await expect.poll(() => server.asked.length).toBe(15);
    const reason = new Error('enough');
    controller.abort(reason);
    for (const error of await Promise.all(pending)) expect(error.message).toBe('enough');
  });
});

describe('secrets', () => {
  it('are in no error, whatever goes wrong', async () => {
    const canary = 'c4n4ry-Secret';
    const scripts: Script[] = [
      (_, response) => response.destroy(),
      (_, response) => response.writeHead(401).end(`who is Basic ${canary}? password=${canary}`),
      (_, response) => response.writeHead(302, { location: `https://u:${canary}@x.test/` }).end(),
      (_, response) => response.writeHead(200).end('{'),
      () => {},
    ];
    for (const script of scripts) {
      const server = await serve(script);
      const { port } = server;
      const client = connect(server, {
        trackingUri: `http://user:${canary}@127.0.0.1:${port}`,
        headers: { 'x-api-key': canary },
        timeoutMs: 50,
        retry: { maxAttempts: 1 },
      });
      const events: unknown[] = [];
      for (const type of ['exhausted', 'down', 'retry'] as const) {
        client.policy.on(type, (event) => events.push(event));
      }
      const error = await failed(client.getRun('r'));
      const shown = inspect([error, events], { depth: 12, showHidden: true });
      expect(shown).not.toContain(canary);
      expect(shown).not.toContain(Buffer.from(`user:${canary}`).toString('base64'));
    }
  });
});
