import { createRequire } from 'node:module';
import type { PrismaPg } from '@prisma/adapter-pg';
import { getPrismaClient } from '@prisma/client/runtime/client';
import config from './fixtures/prisma-client.json' with { type: 'json' };

// they have no types
const require = createRequire(import.meta.url);
const COMPILER = '@prisma/client/runtime/query_compiler_fast_bg.postgresql';
const { WebAssembly } = globalThis as never as {
  WebAssembly: { Module: new (code: Buffer) => unknown };
};

const compilerWasm = {
  getRuntime: async () => require(`${COMPILER}.js`),
  getQueryCompilerWasmModule: async () => {
    const { wasm } = require(`${COMPILER}.wasm-base64.js`);
    return new WebAssembly.Module(Buffer.from(wasm, 'base64'));
  },
  importName: './query_compiler_fast_bg.js',
};

// biome-ignore lint/suspicious/noExplicitAny: the generated types are what is left out
export type PrismaClient = any;

/**
 * The client that `prisma generate` makes for the table of the libraries, on an adapter. The generator itself is
 * no dependency, for it is 300 MB and wants to download an engine that it does not use. For the fixture of another
 * version: `PRISMA_SCHEMA_ENGINE_BINARY=/bin/true npx prisma generate` on its `inlineSchema`, and then what
 * `internal/class.ts` calls `config`.
 */
export function prismaClient(adapter: PrismaPg): PrismaClient {
  const Client = getPrismaClient({ ...config, compilerWasm } as never);
  return new Client({ adapter } as never);
}
