import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStore } from 'connect-redis';
import session from 'express-session';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { type Down, outage, watchRejections } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab({ own: true });
const VISITORS = 10;

interface Visits extends session.Session {
  visits?: number;
}

describe.skipIf(lab.reason !== '')(`connect-redis on our client ${lab.reason}`, () => {
  lab.use();

  /** A site that counts the visits of each session. */
  async function startSite(): Promise<{ server: Server; url: string }> {
    const store = new RedisStore({ client: lab.redis(), prefix: `${lab.key('session')}:` });
    const sessions = session({
      store,
      secret: 'for tests',
      resave: false,
      saveUninitialized: true,
    });
    const server = createServer((request: IncomingMessage, response: ServerResponse) => {
      const answer = (error?: unknown): void => {
        if (error) response.writeHead(500).end(String(error));
        else {
          const own = (request as unknown as { session: Visits }).session;
          own.visits = (own.visits ?? 0) + 1;
          response.end(String(own.visits));
        }
      };
      sessions(request as never, response as never, answer);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  }

  it.each(['stop', 'kill9'] as Down[])(
    'keeps every session across an outage of 3 s (%s), and no visitor sees an error',
    async (down) => {
      const rejections = watchRejections();
      const { server, url } = await startSite();
      const counts: number[] = [];
      const errors: string[] = [];
      let visits = 0;
      let running = true;
      const visitors = Array.from({ length: VISITORS }, async (_, visitor) => {
        let cookie = '';
        counts[visitor] = 0;
        while (running) {
          const response = await fetch(url, { headers: cookie ? { cookie } : {} });
          const text = await response.text();
          visits += 1;
          cookie ||= response.headers.get('set-cookie')?.split(';')[0] ?? '';
          if (response.status !== 200) errors.push(text);
          else if (Number(text) !== ++(counts[visitor] as number)) {
            errors.push(`visit ${counts[visitor]} was counted as ${text}`);
          }
          await sleep(5);
        }
      });
      await waitFor(() => visits >= 200, { what: 'the visits' });
      await outage(lab.server, down);
      const before = visits;
      await waitFor(() => visits >= before + 200, { what: 'the visits to go on' });
      running = false;
      await Promise.all(visitors);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      expect(errors).toEqual([]);
      expect(rejections.stop()).toEqual([]);
    },
  );
});
