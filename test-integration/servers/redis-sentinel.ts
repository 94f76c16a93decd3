import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { atExit } from './cleanup.js';
import { temporaryFolder } from './identity.js';
import { freePort } from './ports.js';
import { type NativeRedis, startRedis } from './redis.js';
import { findRedis } from './redis-binaries.js';
import { ask } from './redis-server.js';
import { ServerProcess } from './server-process.js';
import { waitFor } from './wait.js';

/** How many of each, and how soon they act. */
export interface SentinelOptions {
  /** Default 1. */
  replicas?: number;
  /** A majority of them decides. Default 3. */
  sentinels?: number;
  /** How long a master is silent before it counts as down. Default 800. */
  downAfterMs?: number;
}

const NAME = 'main';

/** One Sentinel process. */
interface Sentinel {
  readonly port: number;
  readonly folder: string;
  readonly process: ServerProcess;
}

/** A master, its replicas and the Sentinels that watch over them; some 6 s until all know one another. */
export async function startSentinels(options: SentinelOptions = {}): Promise<RedisSentinels> {
  const { replicas = 1, sentinels = 3, downAfterMs = 800 } = options;
  const setup = new RedisSentinels();
  try {
    const master = await startRedis();
    setup.nodes.push(master);
    for (let n = 0; n < replicas; n++) {
      const replicaof = `127.0.0.1 ${master.port}`;
      setup.nodes.push(await startRedis({ settings: { replicaof } }));
    }
    const quorum = Math.floor(sentinels / 2) + 1;
    for (let n = 0; n < sentinels; n++) {
      setup.sentinels.push(await startSentinel(master.port, quorum, downAfterMs));
    }
    await setup.settled();
    return setup;
  } catch (error) {
    await setup.dispose();
    throw error;
  }
}

async function startSentinel(
  masterPort: number,
  quorum: number,
  downAfterMs: number,
): Promise<Sentinel> {
  const installation = findRedis()[0];
  if (!installation) throw new Error('No Redis is installed here.');
  const port = await freePort();
  const folder = temporaryFolder('sentinel', undefined);
  const file = join(folder, 'sentinel.conf');
  // Sentinel writes what it learns into its own configuration
  await writeFile(
    file,
    `port ${port}
bind 127.0.0.1
dir ${folder}
sentinel monitor ${NAME} 127.0.0.1 ${masterPort} ${quorum}
sentinel down-after-milliseconds ${NAME} ${downAfterMs}
sentinel failover-timeout ${NAME} 3000
`,
  );
  const process = new ServerProcess({
    name: `Sentinel on port ${port}`,
    program: installation.program,
    args: [file, '--sentinel'],
    folder,
  });
  const sentinel = { port, folder, process };
  try {
    await process.start(async () => (await query(sentinel, ['PING'])) === 'PONG');
    return sentinel;
  } catch (error) {
    await disposeSentinel(sentinel);
    throw error;
  }
}

function query({ port }: { port: number }, command: string[]): Promise<unknown> {
  return ask({ host: '127.0.0.1', port }, command, 2_000);
}

async function disposeSentinel({ process, folder }: Sentinel): Promise<void> {
  if (process.pid) await process.kill9();
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  atExit.removed(folder);
}

/** What `startSentinels` made. */
export class RedisSentinels implements AsyncDisposable {
  /** What the master is called: ioredis' option `name`. */
  readonly name: string = NAME;
  /** The data servers, the first master first. */
  readonly nodes: NativeRedis[] = [];
  /** The Sentinels. */
  readonly sentinels: Sentinel[] = [];

  /** ioredis' option `sentinels`. */
  get addresses(): { host: string; port: number }[] {
    return this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** The node that the Sentinels name as master; `undefined` while they do not agree. */
  async master(): Promise<NativeRedis | undefined> {
    const ports = await Promise.all(
      this.sentinels.map(async (sentinel) => {
        const address = await query(sentinel, ['SENTINEL', 'get-master-addr-by-name', NAME]);
        return Number((address as string[])[1]);
      }),
    );
    if (new Set(ports).size !== 1) return undefined;
    return this.nodes.find(({ port }) => port === ports[0]);
  }

  /** Waits until every Sentinel knows all others and all replicas, and every replica follows. */
  async settled(timeoutMs = 30_000): Promise<void> {
    await waitFor(
      async () => {
        for (const sentinel of this.sentinels) {
          const told = (await query(sentinel, ['SENTINEL', 'MASTER', NAME])) as string[];
          const of = (name: string): string | undefined => told[told.indexOf(name) + 1];
          if (Number(of('num-other-sentinels')) !== this.sentinels.length - 1) return false;
          if (Number(of('num-slaves')) !== this.nodes.length - 1) return false;
          if (of('flags') !== 'master') return false;
        }
        const master = await this.master();
        const role = (await master?.admin('ROLE')) as [string, number, unknown[]] | undefined;
        return role?.[0] === 'master' && role[2].length === this.nodes.length - 1;
      },
      { timeoutMs, everyMs: 50, what: 'the Sentinels to know one another' },
    );
  }

  /** Stops and removes all of it. */
  async dispose(): Promise<void> {
    await Promise.all(this.sentinels.map(disposeSentinel));
    await Promise.all(this.nodes.map((node) => node.dispose()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
