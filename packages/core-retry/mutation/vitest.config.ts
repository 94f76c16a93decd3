import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const core = join(import.meta.dirname, '..');

/**
 * Stryker runs this in a copy of the sources, so the package's name must mean that copy. Without the tests
 * that start processes, and without those that patch the text of the sources or draw thousands of histories.
 */
export default defineConfig({
  resolve: {
    alias: [
      { find: /^@outlast\/core-retry$/, replacement: join(core, 'src/index.ts') },
      { find: /^@outlast\/core-retry\/([a-z]+)$/, replacement: join(core, 'src/$1.ts') },
    ],
  },
  test: {
    include: ['packages/core-retry/test/**/*.test.ts'],
    exclude: ['**/{*process,mutants,breaker-model}.test.ts'],
  },
});
