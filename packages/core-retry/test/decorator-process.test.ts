import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));

const GOOD = `
import { RetryManager, RetryPolicy, retryable, retryInfo } from './src/index.js';
import { ManualClock } from './src/testing.js';

const clock = new ManualClock();
const policy = new RetryPolicy({ clock, jitter: false });
const manager = new RetryManager({ retry: { clock, jitter: false } });
const names: string[] = [];
policy.on('success', ({ operation }) => names.push(operation));
manager.on('success', ({ operation }) => names.push(operation));
const ODD = Symbol('odd');
const results: unknown[] = [];
let failures = 1;

function flaky<T>(value: T): T {
  failures += 1;
  if (failures % 2 === 0) throw Object.assign(new Error('reset'), { code: 'ECONNRESET' });
  return value;
}

class Users {
  readonly prefix: string;
  constructor(prefix: string) {
    this.prefix = prefix;
  }

  @retryable(policy)
  async find(id: string, options: { readonly deep?: boolean } = {}): Promise<string> {
    return flaky(\`\${this.prefix} \${id} \${options.deep ?? false}\`);
  }

  @retryable(policy, { operation: 'users.list', maxAttempts: 5 })
  list(): Promise<string[]> {
    return Promise.resolve().then(() => flaky([this.prefix]));
  }

  @retryable({ clock, jitter: false, maxAttempts: 2 })
  async own(): Promise<number> {
    return flaky(1);
  }

  @retryable(policy)
  static async all(): Promise<string> {
    return flaky(this.name);
  }

  @retryable(policy)
  async #secret(word: string): Promise<string> {
    return flaky(\`\${this.prefix} \${word}\`);
  }

  @retryable(policy)
  async [ODD](): Promise<string> {
    return flaky('odd');
  }

  @manager.retryable({ service: 'users' })
  async save(name: string): Promise<string> {
    return flaky(\`saved \${name}\`);
  }

  @manager.retryable({ service: 'users', operation: 'drop', maxAttempts: 1, breaker: false })
  async remove(): Promise<string> {
    return flaky('removed');
  }

  tell(word: string): Promise<string> {
    return this.#secret(word);
  }

  // A method may be generic, and may return any thenable.
  @retryable(policy)
  async echo<T>(value: T): Promise<T> {
    return flaky(value);
  }
}

const note = async (promise: PromiseLike<unknown>): Promise<void> => {
  results.push(await clock.runUntilSettled(promise));
};
const users = new Users('user');
await note(users.find('x', { deep: true }));
await note(users.list());
await note(users.own());
await note(Users.all());
await note(users.tell('psst'));
await note(users[ODD]());
await note(users.save('y'));
await note(users.echo<string>('echo'));
const typed: string = await clock.runUntilSettled(new Users('typed').find('z'));
results.push(typed);
failures = 1;
await clock.runUntilSettled(users.remove()).catch((error) => results.push(retryInfo(error)?.attempts));
console.log(JSON.stringify({ results, names, method: [users.find.name, users.find.length] }));
`;

const BAD = `
import { RetryManager, retryable } from './src/index.js';

const manager = new RetryManager();

class Bad {
  // @ts-expect-error returns no promise
  @retryable()
  now(): number {
    return 1;
  }

  // @ts-expect-error returns nothing
  @manager.retryable({ service: 'x' })
  nothing(): void {}

  // @ts-expect-error a getter is no method
  @retryable()
  get value(): Promise<number> {
    return Promise.resolve(1);
  }

  // @ts-expect-error a field is no method
  @retryable()
  field = async (): Promise<number> => 1;

  // @ts-expect-error a service is needed
  @manager.retryable({ operation: 'x' })
  async unnamed(): Promise<void> {}

  // @ts-expect-error a typing error
  @retryable({ maxAtempts: 3 })
  async typing(): Promise<void> {}

  @retryable()
  async good(): Promise<number> {
    return 1;
  }

  // Some promises are no reason to let the others by.
  // @ts-expect-error may return no promise
  @retryable()
  maybe(): Promise<number> | number {
    return 1;
  }
}
void Bad;
`;

const SAYS = `
import { retryable } from './src/index.js';
class Says {
  @retryable()
  now(): number {
    return 1;
  }
}
void Says;
`;

let folder: string;

/** Compiles a file with the sources beside it. @returns what the compiler says */
function compile(name: string, text: string): string {
  writeFileSync(join(folder, `${name}.ts`), text);
  const compilerOptions = {
    composite: false,
    declaration: false,
    declarationMap: false,
    isolatedDeclarations: false,
    sourceMap: false,
    preserveSymlinks: true,
    rootDir: '.',
    outDir: 'out',
    typeRoots: [join(root, 'node_modules/@types')],
  };
  const config = {
    extends: join(root, 'tsconfig.base.json'),
    compilerOptions,
    files: [`${name}.ts`],
  };
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(config));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  try {
    const args = [tsc, '-p', join(folder, `${name}.json`), '--pretty', 'false'];
    return execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outlast-decorator-'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  symlinkSync(join(root, 'packages/core-retry/src'), join(folder, 'src'));
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('@retryable, compiled', () => {
  it('retries methods: with arguments and this, static, private, named by a symbol, generic', () => {
    expect(compile('good', GOOD)).toBe('');
    const stdout = execFileSync(process.execPath, [join(folder, 'out/good.js')], {
      encoding: 'utf8',
    });
    expect(JSON.parse(stdout)).toEqual({
      results: [
        'user x true',
        ['user'],
        1,
        'Users',
        'user psst',
        'odd',
        'saved y',
        'echo',
        'typed z false',
        1,
      ],
      names: ['find', 'users.list', 'all', '#secret', '[odd]', 'users:save', 'echo', 'find'],
      method: ['find', 0],
    });
  }, 60_000);

  it('what it cannot do is a type error', () => {
    expect(compile('bad', BAD)).toBe('');
  }, 60_000);

  it('the error for a method that returns no promise says so', () => {
    expect(compile('says', SAYS)).toContain(
      'A method decorated with @retryable must return a promise; use policy.wrapSync for others.',
    );
  }, 60_000);
});
