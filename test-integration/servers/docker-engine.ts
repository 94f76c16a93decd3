/** The container engine's own client, by testcontainers 11. */
export type Engine = Awaited<
  ReturnType<typeof import('testcontainers')['getContainerRuntimeClient']>
>;
/** One container, as the engine sees it. */
export type Container = ReturnType<Engine['container']['getById']>;

/** Rejects where no engine answers within 10 s. */
export async function containerEngine(): Promise<Engine> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error('No container engine answered within 10 s.')),
      10_000,
    );
  });
  try {
    return await Promise.race([getContainerRuntimeClient(), late]);
  } finally {
    clearTimeout(timer);
  }
}
