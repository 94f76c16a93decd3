/** Bytes in use after the garbage is gone. Needs `node --expose-gc`. */
export async function heapUsed(): Promise<number> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error('Run it with node --expose-gc.');
  for (let i = 0; i < 4; i++) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed;
}

/** What so many operations leave behind. */
export async function growth(
  title: string,
  operations: number,
  operation: () => Promise<unknown>,
): Promise<boolean> {
  for (let i = 0; i < operations / 10; i++) await operation();
  const before = await heapUsed();
  for (let i = 0; i < operations; i++) await operation();
  const bytes = (await heapUsed()) - before;
  // The engine's own bookkeeping moves by some kilobytes either way; a leak of one byte a call is 1 MB.
  const ok = bytes < 50_000;
  console.log(`\n${title} ${bytes > 0 ? '+' : ''}${bytes} bytes  ${ok ? 'ok' : 'LEAK'}`);
  return ok;
}
