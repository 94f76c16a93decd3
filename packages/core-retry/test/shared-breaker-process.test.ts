import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { buildSources } from './built.js';
import { freshPath, until } from './store-bench.js';

// Of a process that does not end by itself; nothing here is measured by it.
const HUNG_MS = 30_000;
const at = buildSources();
const running = new Set<{ kill(): void }>();

afterEach(() => {
  for (const child of running) child.kill();
  running.clear();
});

/** Runs a program with a manager whose breakers are kept in the file; gives the lines that it printed. */
function run(path: string, resetTimeoutMs: number, code: string): Promise<string[]> {
  const module = `
    import { appendFileSync } from 'node:fs';
    import { FileBreakerStore, RetryManager } from ${at('index.js')};
    const store = new FileBreakerStore({ path: ${JSON.stringify(path)} });
    const manager = new RetryManager({
      retry: { maxAttempts: 1 },
      breaker: { failureThreshold: 2, resetTimeoutMs: ${resetTimeoutMs}, jitter: false },
      store,
      // A machine under load may be slow to write; here everybody waits for his turn.
      storeWaitMs: 20_000,
    });
    const names = { service: 'payments', operation: 'charge' };
    const state = () => manager.status().breakers['payments:charge']?.state;
    const call = (work) => manager.execute(work, names).then((value) => value, (error) => error.code ?? error.message);
    const fail = async () => { throw new Error('ill'); };
    const note = (line) => appendFileSync(${JSON.stringify(`${path}.notes`)}, line + '\\n');
    const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    ${code}`;
  return new Promise((resolve, reject) => {
    const args = ['--input-type=module', '--unhandled-rejections=strict', '-e', module];
    const child = execFile(process.execPath, args, { timeout: HUNG_MS }, (error, out, err) => {
      running.delete(child);
      if (error !== null || err !== '') reject(error ?? new Error(err));
      else resolve(out.split('\n').filter(Boolean));
    });
    running.add(child);
  });
}

describe('processes that share a breaker through a file', () => {
  it('one that starts while it is open calls nothing', async () => {
    const path = await freshPath();
    const first = await run(
      path,
      60_000,
      `
      console.log(await call(fail), await call(fail), await call(fail));`,
    );
    expect(first).toEqual(['ill ill OUTLAST_CIRCUIT_OPEN']);
    const second = await run(
      path,
      60_000,
      `
      let calls = 0;
      console.log(await call(async () => { calls += 1; }), calls, state());`,
    );
    expect(second).toEqual(['OUTLAST_CIRCUIT_OPEN 0 open']);
  });

  it('one that runs already learns of it with its first own failure', async () => {
    const path = await freshPath();
    const second = run(
      path,
      60_000,
      `
      await call(async () => 'well');
      note('running');
      while (!(await import('node:fs')).readFileSync(${JSON.stringify(`${path}.notes`)}, 'utf8').includes('open')) await pause(5);
      const own = await call(fail);
      while (state() !== 'open') await pause(1);
      console.log(own, await call(fail));`,
    );
    await until(async () => (await readFile(`${path}.notes`, 'utf8').catch(() => '')) !== '');
    await run(
      path,
      60_000,
      `await call(fail); await call(fail); await store.save('other', manager.status() && {
        version: 1, state: 'closed', failures: 0, trips: 0, openTimeoutMs: 1, savedAt: 1 }); note('open');`,
    );
    expect(await second).toEqual(['ill OUTLAST_CIRCUIT_OPEN']);
  });

  it('of several whose time has come, one probes; the others follow its verdict', async () => {
    const path = await freshPath();
    await run(path, 1000, 'await call(fail); await call(fail);');
    const program = `
      for (;;) {
        const end = await call(async () => {
          if (state() === 'half-open') note('probe');
          await pause(300);
          return 'well';
        });
        if (end === 'well') break;
        await pause(20);
      }
      console.log(state());`;
    const ends = await Promise.all([1, 2, 3].map(() => run(path, 1000, program)));
    expect(ends).toEqual([['closed'], ['closed'], ['closed']]);
    expect(await readFile(`${path}.notes`, 'utf8')).toBe('probe\n');
  });

  it('one that is closed by hand is closed for those that start later', async () => {
    const path = await freshPath();
    await run(path, 60_000, 'await call(fail); await call(fail);');
    await run(path, 60_000, `await call(fail); manager.reset('payments'); console.log(state());`);
    expect(await run(path, 60_000, `console.log(await call(async () => 'well'));`)).toEqual([
      'well',
    ]);
  });
});
