import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, readdir, readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { FileBreakerStore } from '@outlast/core-retry';
import { afterEach, describe, expect, it } from 'vitest';
import { buildSources } from './built.js';
import { freshPath, snapshot, until } from './store-bench.js';

const LEASE_MS = 100;
// Nothing is measured by it: the machine may be busy.
const PATIENCE_MS = 30_000;

const at = buildSources();
const children = new Set<ChildProcess>();

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
});

interface Program {
  readonly child: ChildProcess;
  readonly end: Promise<{ code: number | null; signal: string | null; out: string; err: string }>;
  readonly out: () => string;
}

/** Starts a module that has a `store` on the file, and a `snapshot`, in a process of its own. */
function start(
  path: string,
  code: string,
  { before = '', lockLeaseMs = LEASE_MS, shell = '' } = {},
): Program {
  const module = `
    ${before}
    const { FileBreakerStore } = await import(${at('file-breaker-store.js')});
    const store = new FileBreakerStore(${JSON.stringify({ path, lockLeaseMs, lockWaitMs: PATIENCE_MS })});
    const snapshot = (failures) => ({ ...${JSON.stringify(snapshot())}, failures });
    const told = () => new Promise((resolve) => process.stdin.once('end', resolve).resume());
    ${code}`;
  const args = ['--v8-pool-size=0', '--input-type=module', '--unhandled-rejections=strict'];
  const command = [process.execPath, ...args, '-e', module];
  // The shell only sets the limits of the process that takes its place.
  const child = spawn('sh', ['-c', `${shell} exec "$0" "$@"`, ...command], { stdio: 'pipe' });
  children.add(child);
  let out = '';
  let err = '';
  child.stdout.on('data', (text) => {
    out += text;
  });
  child.stderr.on('data', (text) => {
    err += text;
  });
  const end = new Promise<Awaited<Program['end']>>((resolve) => {
    child.on('close', (code, signal) => {
      children.delete(child);
      resolve({ code, signal, out, err });
    });
  });
  return { child, end, out: () => out };
}

/** Lets all of them go on at once, when all of them have said that they are ready. */
async function together(programs: readonly Program[]): Promise<string[]> {
  await until(() => programs.every(({ out }) => out().startsWith('ready\n')));
  for (const { child } of programs) child.stdin?.end();
  const ends = await Promise.all(programs.map(({ end }) => end));
  expect(ends.filter(({ code, err }) => code !== 0 || err !== '')).toEqual([]);
  return ends.map(({ out }) => out.slice('ready\n'.length));
}

async function breakersOf(
  path: string,
): Promise<Record<string, { snapshot: { failures: number } }>> {
  return JSON.parse(await readFile(path, 'utf8')).breakers;
}

describe('processes on one file', () => {
  it('share a breaker', async () => {
    const path = await freshPath();
    const opened = await start(
      path,
      `await store.save('pg', { ...snapshot(5), state: 'open', openUntil: 7 });`,
    ).end;
    expect(opened).toEqual({ code: 0, signal: null, out: '', err: '' });
    const seen = await start(
      path,
      `
      const { state, failures } = await store.load('pg');
      console.log(state, failures);
      await store.save('pg', snapshot(0));`,
    ).end;
    expect(seen).toEqual({ code: 0, signal: null, out: 'open 5\n', err: '' });
    expect(await new FileBreakerStore({ path }).load('pg')).toEqual(snapshot());
  });

  it('keep the file where it was when they change their folder', async () => {
    const path = await freshPath();
    const end = await start(
      path,
      `
      process.chdir(${JSON.stringify(dirname(path))});
      const relative = new FileBreakerStore({ path: 'breakers.json' });
      process.chdir('/');
      await relative.save('a', snapshot(1));`,
    ).end;
    expect(end).toEqual({ code: 0, signal: null, out: '', err: '' });
    expect(Object.keys(await breakersOf(path))).toEqual(['a']);
  });

  it('lose no key when a hundred save at once', { timeout: 60_000 }, async () => {
    const path = await freshPath();
    const names = Array.from({ length: 100 }, (_, i) => `key ${i}`);
    const programs = names.map((name, i) =>
      start(
        path,
        `
        console.log('ready');
        await told();
        await store.save('${name}', snapshot(${i}));`,
        { lockLeaseMs: 2000 },
      ),
    );
    await together(programs);
    const breakers = await breakersOf(path);
    expect(names.filter((name, i) => breakers[name]?.snapshot.failures !== i)).toEqual([]);
    expect(await readdir(dirname(path))).toEqual([basename(path)]);
  });

  it('are granted one probe together, round after round', async () => {
    const path = await freshPath();
    const programs = Array.from({ length: 4 }, () =>
      start(
        path,
        `
        console.log('ready');
        await told();
        for (let i = 0; i < 20; i++) {
          if ((await store.claimProbe('pg ' + i, 60_000)).granted) console.log(i);
        }`,
      ),
    );
    const granted = (await together(programs)).join('').trim().split('\n').map(Number);
    expect(granted.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});

// Kills the process at the nth step that it takes in the file system; writes are cut in half.
const killAt = (step: number) => `
  import fs from 'node:fs/promises';
  import { syncBuiltinESMExports } from 'node:module';
  let steps = 0;
  const count = () => {
    steps += 1;
    if (steps === ${step}) process.kill(process.pid, 'SIGKILL');
  };
  const cut = (holder, name, before = async () => {}) => {
    const real = holder[name];
    holder[name] = async function (...args) {
      if (steps + 1 === ${step}) await before.call(this, real, ...args);
      count();
      return real.apply(this, args);
    };
  };
  const probe = await fs.open(process.execPath);
  const handles = Object.getPrototypeOf(probe);
  await probe.close();
  cut(handles, 'writeFile', async function (real, text) { await real.call(this, text.slice(0, text.length / 2)); });
  for (const name of ['sync', 'readFile']) cut(handles, name);
  for (const name of ['mkdir', 'writeFile', 'rename', 'open', 'unlink', 'rmdir', 'readdir', 'rm']) cut(fs, name);
  syncBuiltinESMExports();
`;

describe('kill -9', () => {
  it('at every single step of a save leaves the old file or the new one, and no stuck lock', {
    timeout: 60_000,
  }, async () => {
    const seen = new Set<number>();
    let killed = 0;
    const killedAt = async (step: number): Promise<boolean> => {
      const path = await freshPath();
      const store = new FileBreakerStore({ path, lockLeaseMs: LEASE_MS });
      await Promise.all([store.save('other', snapshot()), store.save('pg', snapshot())]);
      const { signal, err } = await start(path, `await store.save('pg', snapshot(1));`, {
        before: killAt(step),
      }).end;
      expect(err).toBe('');
      const breakers = await breakersOf(path);
      expect(Object.keys(breakers)).toEqual(['other', 'pg']);
      seen.add(breakers['pg']?.snapshot.failures ?? -1);
      await store.save('other', snapshot({ failures: 2 }));
      expect((await breakersOf(path))['pg']).toEqual(breakers['pg']);
      expect(await readdir(dirname(path))).not.toContain(`${basename(path)}.lock`);
      if (signal === 'SIGKILL') killed += 1;
      return signal === 'SIGKILL';
    };
    const LANES = 3;
    const lane = async (first: number): Promise<void> => {
      for (let step = first; await killedAt(step); ) step += LANES;
    };
    await Promise.all(Array.from({ length: LANES }, (_, i) => lane(i + 1)));
    expect(killed).toBeGreaterThanOrEqual(9);
    expect([...seen].toSorted()).toEqual([0, 1]);
  });

  it('at any moment of heavy saving, dozens of times, loses nothing that was saved', {
    timeout: 60_000,
  }, async () => {
    const path = await freshPath();
    const store = new FileBreakerStore({ path, lockLeaseMs: LEASE_MS });
    const lane = async (name: string, kills: number): Promise<void> => {
      for (let i = 0; i < kills; i++) {
        // What it says was saved is on the disk; the pad makes a half file likely.
        const { child, end, out } = start(
          path,
          `
          for (let i = 1; ; i++) {
            await Promise.all([store.save('${name}', snapshot(i)), store.save('pad'.repeat(20_000), snapshot(i))]);
            process.stdout.write(i + '\\n');
          }`,
        );
        await until(() => out() !== '');
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
        child.kill('SIGKILL');
        const { signal, out: said, err } = await end;
        expect({ signal, err }).toEqual({ signal: 'SIGKILL', err: '' });
        const last = Number(said.trim().split('\n').at(-1));
        const failures = (await breakersOf(path))[name]?.snapshot.failures ?? 0;
        expect(failures).toBeGreaterThanOrEqual(last);
        expect(failures).toBeLessThanOrEqual(last + 1);
      }
    };
    await Promise.all([lane('a', 12), lane('b', 12), lane('c', 12)]);
    await store.save('d', snapshot());
    expect(Object.keys(await breakersOf(path))).toEqual(
      expect.arrayContaining(['a', 'b', 'c', 'd']),
    );
    expect(await readdir(dirname(path))).not.toContain(`${basename(path)}.lock`);
  });
});

describe('a process', () => {
  it('3.20 stays alive for a write that nobody waits for, and for nothing else', async () => {
    const path = await freshPath();
    const end = await start(
      path,
      `
      await store.save('a', snapshot(1));
      await store.claimProbe('a', 60_000);
      await store.load('a');
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
      const idle = process.getActiveResourcesInfo();
      console.log(idle.filter((name) => !/Pipe|TTY/.test(name)));
      store.save('b', snapshot(2));`,
    ).end;
    expect(end).toEqual({ code: 0, signal: null, out: '[]\n', err: '' });
    expect(Object.keys(await breakersOf(path))).toEqual(['a', 'b']);
  });

  it('is told what the system says: no right to write, and a limit in the middle of a file', async () => {
    const path = await freshPath();
    await new FileBreakerStore({ path }).save('a', snapshot());
    await chmod(path, 0o644);
    await chmod(dirname(path), 0o555);
    // Root may write anywhere.
    const denied = await start(
      path,
      `
      if (process.getuid() === 0) process.setuid(65534);
      console.log((await store.load('a')).failures);
      await store.save('a', snapshot(1)).catch(({ code }) => console.log(code));
      await store.claimProbe('a', 1000).catch(({ code }) => console.log(code));`,
    ).end;
    expect(denied).toEqual({ code: 0, signal: null, out: '0\nEACCES\nEACCES\n', err: '' });
    await chmod(dirname(path), 0o700);

    const limited = await start(
      path,
      `
      process.on('SIGXFSZ', () => {});
      await store.save('k'.repeat(100_000), snapshot(1)).catch(({ code }) => console.log(code));
      await store.save('b', snapshot(2));`,
      { shell: 'ulimit -f 64;' },
    ).end;
    expect(limited).toEqual({ code: 0, signal: null, out: 'EFBIG\n', err: '' });
    expect(Object.keys(await breakersOf(path))).toEqual(['a', 'b']);
    expect(await readdir(dirname(path))).toEqual([basename(path)]);
  });
});
