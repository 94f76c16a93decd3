import { defineConfig } from 'vitest/config';

// Tests import packages by name and get their sources: no build is needed to run them.
const conditions = ['source'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    retry: 0,
    coverage: { include: ['packages/*/src/**'] },
    projects: [
      { extends: true, test: { name: 'unit', include: ['packages/*/test/**/*.test.ts'] } },
    ],
  },
});
