import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdapter } from '@socket.io/redis-adapter';
import { Server } from 'socket.io';
import { io, type Socket } from 'socket.io-client';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { type Down, outage, watchRejections } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab({ own: true });

describe.skipIf(lab.reason !== '')(`socket.io's redis-adapter on our client ${lab.reason}`, () => {
  lab.use();

  interface Node {
    readonly io: Server;
    readonly url: string;
    close(): Promise<void>;
  }

  async function startNode(key: string): Promise<Node> {
    // The adapter publishes without looking at what becomes of it: see docs/redis.md.
    const publisher = lab.redis({ retry: { idempotentCommands: ['publish'] } });
    const subscriber = lab.track(publisher.duplicate());
    // without a listener the adapter prints every loss
    for (const client of [publisher, subscriber]) client.on('error', () => {});
    const server = createServer();
    const node = new Server(server, { adapter: createAdapter(publisher, subscriber, { key }) });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      io: node,
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      async close() {
        // one that is quit while it reconnects is told so of what it had to say
        await waitFor(() => subscriber.status === 'ready', { what: 'the subscriber to be back' });
        await node.close();
        // the adapter unsubscribes without waiting for the answer
        await Promise.all([publisher.quit(), subscriber.quit()]);
      },
    };
  }

  it.each(['stop', 'kill9'] as Down[])(
    'passes messages between two nodes again after an outage of 3 s (%s)',
    async (down) => {
      const rejections = watchRejections();
      const key = lab.key('io');
      const nodes = [await startNode(key), await startNode(key)] as const;
      const client: Socket = io(nodes[1].url, { transports: ['websocket'] });
      const got = new Map<string, number>();
      client.on('news', (id: string) => got.set(id, (got.get(id) ?? 0) + 1));
      await waitFor(() => client.connected, { what: 'the client to connect' });
      let sent = 0;
      const send = (): string => {
        sent += 1;
        const id = `message ${sent}`;
        nodes[0].io.emit('news', id);
        return id;
      };
      /** Until one arrives, for a subscription may not stand yet. */
      const arrives = (what: string): Promise<unknown> => {
        const ids: string[] = [];
        return waitFor(() => ids.push(send()) > 0 && ids.some((id) => got.has(id)), { what });
      };
      await arrives('the first message');
      const first = Array.from({ length: 50 }, send);
      await waitFor(() => first.every((id) => got.has(id)), { what: 'all first messages' });

      const away = outage(lab.server, down);
      const during = setInterval(send, 20);
      await away;
      await arrives('a message after the outage');
      clearInterval(during);
      const last = Array.from({ length: 50 }, send);
      await waitFor(() => last.every((id) => got.has(id)), { what: 'all last messages' });
      for (const id of [...first, ...last]) expect([id, got.get(id)]).toEqual([id, 1]);

      client.disconnect();
      for (const node of nodes) await node.close();
      expect(rejections.stop()).toEqual([]);
    },
  );
});
