import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import threads from './threads.json' with { type: 'json' };

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const read = (relative: string): string => readFileSync(pathOf(relative), 'utf8');
const sourceOf = (file: string): string => `${file}${file.endsWith('-cases') ? '.ts' : '.test.ts'}`;

/** Whether a file has a test of that title: the first argument of a call, with a function behind it. */
function hasTest(file: string, title: string): boolean {
  const literal = title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const call = new RegExp(`\\(\\s*(['"\`])${literal}\\1,\\s*(?:async )?\\(`);
  return call.test(read(`../${sourceOf(file)}`));
}

const HEAD = `# What users ask for

Threads of users of PostgreSQL from Node and of the libraries on it, and some of the general rule: what happens there, what happens here, and in which
suites (\`test-integration/suites/postgres\`) that is tested on a real server. Made from \`users-threads/threads.json\` in that folder, whose tests have to exist.

| thread | there | here | tested in |
|---|---|---|---|
`;

function page(): string {
  const rows = threads.map(({ threads: names, there, here, tests }) => {
    const links = names.map((name) => {
      const [repository, number] = name.split('#');
      return `[${name}](https://github.com/${repository}/issues/${number})`;
    });
    const files = [...new Set(tests.map(({ file }) => file))].map(
      (file) => `[${file}](../test-integration/suites/postgres/${sourceOf(file)})`,
    );
    return `| ${links.join(', ')} | ${there} | ${here} | ${files.join(', ')} |\n`;
  });
  return HEAD + rows.join('');
}

describe('what users ask for', () => {
  const listed = threads.flatMap(({ threads: names }) => names);

  it('is listed, once each', () => {
    expect(listed.filter((one, at) => listed.indexOf(one) !== at)).toEqual([]);
    expect(listed.filter((one) => !/^[\w-]+\/[\w-]+#\d+$/.test(one))).toEqual([]);
    // all that were collected, without those of MySQL's drivers
    expect(listed).toHaveLength(46);
  });

  it.each(threads)('has a test: $there', ({ tests }) => {
    expect(tests.length).toBeGreaterThan(0);
    expect(tests.filter(({ file, title }) => !hasTest(file, title))).toEqual([]);
  });

  it('is listed where the title of a test names a thread', () => {
    const numbers = new Set(listed.map((name) => name.split('#')[1]));
    const files = readdirSync(pathOf('..'), { recursive: true, encoding: 'utf8' });
    const named = files
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => [...read(`../${file}`).matchAll(/[( ][\w./-]*#(\d{2,5})(?=[,)])/g)]);
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter(([, number]) => !numbers.has(number))).toEqual([]);
  });

  // After a change of the list: `-- --project postgres suites/postgres/users-threads/threads -u`.
  it('stands in the docs', async () => {
    await expect(page()).toMatchFileSnapshot(pathOf('../../../../docs/postgres-threads.md'));
  });
});
