import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const packageDir = fileURLToPath(new URL('..', import.meta.url));
const tsc = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc', import.meta.url));
// Of a process that does not end by itself; nothing here is measured by it.
const HUNG_MS = 20_000;
vi.setConfig({ testTimeout: 2 * HUNG_MS });

let built: string;

// The sources as Node would run them, in a folder of their own: a dist may be stale, or being built.
beforeAll(() => {
  built = mkdtempSync(join(tmpdir(), 'outlast-core-'));
  writeFileSync(join(built, 'package.json'), '{"type":"module"}');
  const off = ['composite', 'incremental', 'declaration', 'declarationMap', 'isolatedDeclarations'];
  const options = off.flatMap((option) => [`--${option}`, 'false']);
  execFileSync(process.execPath, [tsc, '-p', packageDir, '--outDir', built, ...options]);
}, 60_000);

afterAll(() => {
  rmSync(built, { recursive: true, force: true });
});

interface End {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a module in a process of its own until that ends by itself. */
function run(code: string): Promise<End> {
  const at = (file: string) => JSON.stringify(pathToFileURL(join(built, file)).href);
  const module = `
    import {
      BreakerRegistry, Bulkhead, CircuitBreaker, RetryManager, RetryPolicy, retry, retryInfo, retrySync,
    } from ${at('index.js')};
    import { Reconnect } from ${at('connector.js')};
    ${code}`;
  return new Promise((resolve) => {
    const args = ['--input-type=module', '--unhandled-rejections=strict', '-e', module];
    execFile(process.execPath, args, { timeout: HUNG_MS }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.killed ? 'hung' : error.code, stdout, stderr });
    });
  });
}

const fails = `
  let calls = 0;
  const failsOnce = async () => { calls += 1; if (calls === 1) throw new Error('x'); return 'done'; };
  const log = (value) => console.log(value);
`;

describe('3.20 a process', () => {
  it('3.20 is kept alive by a retry that sleeps', async () => {
    const end = await run(`${fails} retry(failsOnce, { baseDelayMs: 30 }).then(log);`);
    expect(end).toEqual({ code: 0, stdout: 'done\n', stderr: '' });
  });

  it('3.20 is not, with unref: it ends without the retry', async () => {
    const end = await run(
      `${fails} retry(failsOnce, { baseDelayMs: 30_000, unref: true }).then(log);`,
    );
    expect(end).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('3.20 is not, by a deadline or an attempt timeout of work that is done', async () => {
    const end = await run(`${fails}
      const policy = new RetryPolicy({ totalTimeoutMs: 1e6, attemptTimeoutMs: 1e6, baseDelayMs: 1 });
      policy.execute(failsOnce).then(log);
      policy.execute(async () => 'own', { totalTimeoutMs: 5e5 }).then(log);
      policy.execute(async () => 'signal', { signal: new AbortController().signal }).then(log);`);
    expect({ ...end, stdout: end.stdout.split('\n').toSorted() }).toEqual({
      code: 0,
      stdout: ['', 'done', 'own', 'signal'],
      stderr: '',
    });
  });

  it('3.20 ends after close(), though retries slept', async () => {
    const end = await run(`
      const policy = new RetryPolicy({ baseDelayMs: 30_000 });
      policy.execute(async () => { throw new Error('x'); }).catch((error) => console.log(error.name));
      setImmediate(() => policy.close());`);
    expect(end).toEqual({ code: 0, stdout: 'ClosedError\n', stderr: '' });
  });

  it('3.20 ends after an abort, though a retry slept', async () => {
    const end = await run(`
      const controller = new AbortController();
      retry(async () => { throw new Error('x'); }, { baseDelayMs: 30_000, signal: controller.signal })
        .catch((reason) => console.log(reason));
      setImmediate(() => controller.abort('aborted'));`);
    expect(end).toEqual({ code: 0, stdout: 'aborted\n', stderr: '' });
  });

  it('3.20 is kept alive by who waits for a reconnect, and by nobody else', async () => {
    const end = await run(`
      let probes = 0;
      const reconnect = new Reconnect({
        service: 'pg',
        policy: new RetryPolicy(),
        isPermanent: () => false,
        probe: async () => { probes += 1; if (probes < 3) throw new Error('down'); },
      });
      reconnect.failed(new Error('down'));
      reconnect.wait(30_000).then(() => {
        console.log(probes);
        reconnect.failed(new Error('down again'));
      });`);
    expect(end).toEqual({ code: 0, stdout: '3\n', stderr: '' });
  });
});

describe('3.20 a process with a breaker, a bulkhead, a manager, a store', () => {
  it('3.20 ends by itself when its work is done: breakers, registries and managers hold nothing', async () => {
    const end = await run(`
      const store = { load: async () => undefined, save: async () => {}, claimProbe: async () => ({ granted: true }) };
      const manager = new RetryManager({
        store, bulkhead: { maxConcurrent: 1, maxQueued: 9 }, retry: { totalTimeoutMs: 1e6, baseDelayMs: 1 },
        breaker: { failureThreshold: 1, resetTimeoutMs: 1e6 },
      });
      manager.on('breaker', ({ to }) => console.log(to));
      const fails = async () => { throw new Error('x'); };
      const call = { service: 'a', operation: 'b' };
      manager.execute(fails, call).catch(() => manager.execute(fails, call)).catch((e) => console.log(e.name));
      new CircuitBreaker({ failureRate: 0.5, windowMs: 1e6 }).execute(async () => 'v').then(console.log);
      new BreakerRegistry({ store }).get('c', 'd').isolate();`);
    expect({ ...end, stdout: end.stdout.split('\n').toSorted() }).toEqual({
      code: 0,
      stdout: ['', 'CircuitOpenError', 'open', 'v'],
      stderr: '',
    });
  });

  it('3.20 is kept alive by a retry of a manager that sleeps, and not if it is unref’d', async () => {
    const call = "{ service: 'a', operation: 'b' }";
    const alive = await run(`${fails}
      new RetryManager({ retry: { baseDelayMs: 30 } }).execute(failsOnce, ${call}).then(log);`);
    expect(alive).toEqual({ code: 0, stdout: 'done\n', stderr: '' });
    const free = await run(`${fails}
      new RetryManager({ retry: { baseDelayMs: 30_000, unref: true } }).execute(failsOnce, ${call}).then(log);`);
    expect(free).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('3.20 ends after close() of a manager, though one slept and one stood in the queue', async () => {
    const end = await run(`
      const manager = new RetryManager({ retry: { baseDelayMs: 30_000 }, bulkhead: { maxConcurrent: 1, maxQueued: 1 } });
      const work = async () => { throw new Error('x'); };
      for (const name of ['asleep', 'queued', 'refused']) {
        manager.execute(work, { service: 'a', operation: name }).catch((e) => console.log(name, e.name));
      }
      setTimeout(() => manager.close(), 20);`);
    expect({ ...end, stdout: end.stdout.split('\n').toSorted() }).toEqual({
      code: 0,
      stdout: ['', 'asleep ClosedError', 'queued ClosedError', 'refused BulkheadFullError'],
      stderr: '',
    });
  });

  it('3.36 ends although its store hangs: a call waits 250 ms for it, and nobody for the rest', async () => {
    const end = await run(`
      const never = () => new Promise(() => {});
      const registry = new BreakerRegistry({ store: { load: never, save: never, claimProbe: never } });
      registry.get('a', 'b').execute(async () => 'value').then(console.log);`);
    expect(end).toEqual({ code: 0, stdout: 'value\n', stderr: '' });
  });

  it('3.20 ends after a loop over attempts that was left, and after a body that threw', async () => {
    const end = await run(`
      const policy = new RetryPolicy({ baseDelayMs: 1, totalTimeoutMs: 1e6 });
      for await (const attempt of policy.attempts()) break;
      for await (const attempt of policy.attempts()) { await attempt.run(() => 'v'); }
      try {
        for await (const attempt of policy.attempts()) throw new Error('body');
      } catch (error) {
        console.log(error.message);
      }`);
    expect(end).toEqual({ code: 0, stdout: 'body\n', stderr: '' });
  });

  it('retrySync blocks everything else until it is done', async () => {
    const end = await run(`
      let calls = 0;
      setImmediate(() => console.log('event loop'));
      retrySync(() => {
        calls += 1;
        console.log('call', calls);
        if (calls < 3) throw new Error('x');
      }, { baseDelayMs: 5 });`);
    expect(end).toEqual({ code: 0, stdout: 'call 1\ncall 2\ncall 3\nevent loop\n', stderr: '' });
  });
});

describe('importing', () => {
  it('3.37 starts nothing: no timer, no handle, no listener, and nothing is printed', async () => {
    // Some turns later, for the reading of the modules themselves has then ended.
    const report = `
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
      console.log(JSON.stringify([process.getActiveResourcesInfo(), process.eventNames().length]));`;
    const bare = await new Promise<string>((resolve) => {
      const args = ['--input-type=module', '--unhandled-rejections=strict', '-e', report];
      execFile(process.execPath, args, (_error, stdout) => resolve(stdout));
    });
    const end = await run(
      `await import(${JSON.stringify(pathToFileURL(join(built, 'testing.js')).href)});${report}`,
    );
    expect(end).toEqual({ code: 0, stdout: bare, stderr: '' });
  });
});

describe('3.17 no path', () => {
  it('3.17 leaves an unhandled rejection', async () => {
    const end = await run(`
      const fail = async () => { throw new Error('x'); };
      const soon = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      // Ends after whoever waited for it has gone.
      const late = async () => { await soon(40); throw new Error('late'); };
      const throws = () => { throw new Error('hook'); };
      const rejects = async () => { throw new Error('hook'); };
      const quick = { baseDelayMs: 1, maxAttempts: 2 };
      const ends = [];
      const go = (work, options) => ends.push(retry(work, options).catch(() => 'caught'));
      go(fail, quick);
      go(throws, quick);
      go(late, { ...quick, attemptTimeoutMs: 5 });
      go(late, { ...quick, totalTimeoutMs: 5 });
      go(late, { ...quick, attemptTimeoutMs: 5, stop: rejects });
      go(late, { ...quick, attemptTimeoutMs: 5, stop: throws });
      go(late, { ...quick, signal: AbortSignal.timeout(5) });
      go(late, { ...quick, signal: AbortSignal.abort() });
      go(fail, { ...quick, baseDelayMs: 10_000, signal: AbortSignal.timeout(5) });
      go(fail, { ...quick, baseDelayMs: 10_000, totalTimeoutMs: 5 });
      for (const hook of [throws, rejects]) {
        go(fail, { ...quick, idempotent: false, resolve: hook });
        go(fail, { ...quick, onRetry: hook, retryIf: () => true });
        go(fail, { ...quick, retryIf: hook });
        go(fail, { ...quick, classify: hook });
        go(fail, { ...quick, delayMs: hook });
      }
      go(fail, { wrong: true });
      go(undefined, quick);
      go(async (attempt) => { await soon(20); attempt.signal.throwIfAborted(); }, { ...quick, attemptTimeoutMs: 5 });
      go(fail, { ...quick, idempotent: false, totalTimeoutMs: 5, resolve: late });
      const policy = new RetryPolicy({ baseDelayMs: 10_000 });
      for (const type of ['attempt', 'retry', 'exhausted']) {
        policy.on(type, throws);
        policy.on(type, rejects);
      }
      ends.push(policy.execute(fail).catch(() => 'caught'));
      ends.push(policy.execute(late).catch(() => 'caught'));
      setTimeout(() => policy.close(), 10);
      const reconnect = new Reconnect({ service: 'pg', policy: new RetryPolicy(), isPermanent: () => false, probe: late });
      reconnect.failed(new Error('down'));
      ends.push(reconnect.wait(60).catch(() => 'caught'));
      ends.push(reconnect.wait(10_000, AbortSignal.timeout(60)).catch(() => 'caught'));
      const found = new Set(await Promise.all(ends));
      await soon(100);
      console.log(ends.length, ...found);`);
    expect(end).toEqual({ code: 0, stdout: '28 caught\n', stderr: '' });
  });

  it('3.17 leaves one: breaker, bulkhead, fallback, results, loops, managers, stores', async () => {
    const end = await run(`
      const fail = async () => { throw new Error('x'); };
      const soon = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const late = async () => { await soon(40); throw new Error('late'); };
      const throws = () => { throw new Error('hook'); };
      const never = () => new Promise(() => {});
      const ends = [];
      const go = (promise) => ends.push(Promise.resolve(promise).then(() => 'ok', () => 'caught'));
      const open = () => { const b = new CircuitBreaker({ failureThreshold: 1 }); b.acquire().failure(new Error('x')); return b; };
      const full = () => { const b = new Bulkhead({ maxConcurrent: 1, maxQueued: 1 }); void b.enter(); return b; };
      const quick = { baseDelayMs: 1, maxAttempts: 2 };
      const bounds = [{}, { totalTimeoutMs: 10 }, { signal: AbortSignal.timeout(10) }, { attemptTimeoutMs: 5 }];
      for (const bound of bounds) {
        for (const work of [fail, throws, late, undefined]) {
          for (const more of [
            { breaker: new CircuitBreaker() },
            { breaker: new CircuitBreaker({ failureThreshold: 1, votePer: 'attempt' }) },
            { breaker: open() },
            { fallback: throws }, { fallback: fail }, { fallback: late },
            { breaker: open(), fallback: throws }, { breaker: open(), fallback: fail },
            { retryResult: throws }, { retryResult: fail }, { classify: throws, breaker: open() },
            { logger: { info: throws, warn: fail, error: fail, debug: fail }, breaker: new CircuitBreaker() },
          ]) go(retry(work, { ...quick, ...bound, ...more }));
        }
        const dispose = { [Symbol.asyncDispose]: fail };
        go(retry(async () => dispose, { ...quick, ...bound, retryResult: () => true }));
        go(retry(async () => { await soon(20); return dispose; }, { ...quick, ...bound, retryResult: fail }));
        const policy = new RetryPolicy({ ...quick, ...bound });
        const loop = async (body) => { for await (const attempt of policy.attempts()) await body(attempt); };
        go(loop((attempt) => attempt.run(fail)));
        go(loop((attempt) => attempt.run(late)));
        go(loop((attempt) => Promise.all([attempt.run(fail), attempt.run(late)])));
        go(loop((attempt) => { void attempt.run(fail).catch(() => {}); throw new Error('body'); }));
        go(loop(() => soon(20)));
      }
      for (const bound of bounds.slice(1, 3)) {
        go(retry(fail, { ...quick, ...bound, bulkhead: full() }));
        go(retry(fail, { ...quick, ...bound, bulkhead: full(), fallback: fail }));
      }
      const queued = new RetryPolicy({ bulkhead: full() });
      go(queued.execute(fail));
      go(queued.execute(fail));
      setTimeout(() => queued.close(), 10);
      go(new Bulkhead({ maxConcurrent: 1 }).execute(fail));
      go(full().execute(fail, { signal: AbortSignal.timeout(5) }));
      for (const bad of [throws, fail, never, async () => ({ version: 9 })]) {
        const manager = new RetryManager({
          store: { load: bad, save: bad, claimProbe: bad },
          retry: quick, breaker: { failureThreshold: 1, resetTimeoutMs: 1 },
        });
        for (const type of ['attempt', 'retry', 'exhausted', 'breaker', 'store']) { manager.on(type, throws); manager.on(type, fail); }
        const call = { service: 'a', operation: 'b' };
        go(manager.execute(fail, call));
        go(soon(300).then(() => manager.execute(fail, call)));
        go(manager.execute(fail, { ...call, breaker: { failureThreshold: 9 } }));
        go(manager.execute(fail, {}));
        go(manager.wrap(late, { service: 'a' })());
      }
      const found = new Set(await Promise.all(ends));
      await soon(100);
      console.log(ends.length, ...[...found].sort());`);
    expect(end).toEqual({ code: 0, stdout: '248 caught ok\n', stderr: '' });
  });
});
