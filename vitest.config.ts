import { defineConfig } from 'vitest/config';

// Tests import packages by name and get their sources: no build is needed to run them.
const conditions = ['source'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    retry: 0,
    // For what hangs; a busy machine may take its time over ten thousand histories.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    coverage: { include: ['packages/*/src/**'] },
    projects: [
      { extends: true, test: { name: 'unit', include: ['packages/*/test/**/*.test.ts'] } },
    ],
  },
});
