import { Redis } from '@outlast/redis-retry';
import { isSkipped, takeRedis } from '../../servers/index.js';
import { connectorContract } from './connector-contract.js';

await connectorContract({
  name: 'redis-retry',
  wire: { read: /get\r\n\$7\r\nanybody/, write: /rpush\r\n\$7\r\nwritten/ },
  refusedCode: 'ECONNREFUSED',
  async start() {
    const server = await takeRedis({ own: true });
    if (isSkipped(server)) return server;
    await server.admin('SET', 'word', 'no number');
    return {
      port: server.port,
      stop: () => server.stop(),
      start: () => server.start(),
      kill9: () => server.kill9(),
      dispose: () => server.dispose(),
      writes: async () => {
        const writes = new Map<string, number>();
        for (const id of (await server.admin('LRANGE', 'written', 0, -1)) as string[]) {
          writes.set(id, (writes.get(id) ?? 0) + 1);
        }
        return writes;
      },
      connections: async () => (await server.connections()).length,
    };
  },
  makeClient(port, retry) {
    const redis = new Redis({ host: '127.0.0.1', port, ...(retry && { retry }) });
    const bounded = (bounds: object | undefined) => (bounds ? redis.with(bounds) : redis);
    return {
      policy: redis.policy,
      read: (bounds) => bounded(bounds).get('anybody'),
      write: (id, bounds) => bounded(bounds).rpush('written', id),
      refused: () => redis.incr('word'),
      close: async () => redis.disconnect(),
    };
  },
  program: `
    import { Redis } from '@outlast/redis-retry';
    const redis = new Redis(Number(process.env.PORT), '127.0.0.1');
    const reading = redis.get('anybody');
    console.log('waiting');
    await reading;
    console.log('done');
    await redis.quit();`,
});
