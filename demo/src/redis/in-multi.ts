import type { ChainableCommander } from 'ioredis';

/** INCR and RPUSH in MULTI … EXEC; rejects with the first error among the replies. */
export async function inMulti(
  multi: Pick<ChainableCommander, 'incr' | 'rpush' | 'exec'>,
  counter: string,
  list: string,
  value: string,
): Promise<void> {
  multi.incr(counter);
  multi.rpush(list, value);
  for (const [error] of (await multi.exec()) ?? []) if (error) throw error;
}
