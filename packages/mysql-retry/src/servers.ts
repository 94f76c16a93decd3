import type { RetryPolicy } from '@outlast/core-retry';
import { WRONG_TARGET } from './classify.js';
import {
  type ConnectionConfig,
  type CoreConnection,
  copyConfig,
  core,
  dropSocket,
  farewell,
  type PoolConfig,
} from './driver.js';
import type { Host, Target } from './hosts.js';
import { ask } from './identity.js';

/** How long connecting may take, in milliseconds, if the options set no bound. */
const CONNECT_TIMEOUT_MS = 10_000;
/** How long an answer to a question of ours may take, in milliseconds. */
const ANSWER_TIMEOUT_MS = 5000;
/** A host that is silent for so long holds up the next one no more. */
const SILENCE_MS = 250;

interface ServersOptions {
  readonly policy: RetryPolicy;
  readonly hosts: readonly Host[];
  readonly target: Target;
}

/** The servers of one pool: which one new connections go to, and whether it is of the kind that is wanted. */
export class Servers {
  /** Whether there is another one to go to. */
  readonly several: boolean;
  private readonly config: ConnectionConfig;
  private readonly options: ServersOptions;
  private current = 0;

  constructor(config: PoolConfig, options: ServersOptions) {
    this.config = config.connectionConfig;
    this.config.connectTimeout ||= CONNECT_TIMEOUT_MS;
    this.options = options;
    this.several = options.hosts.length > 1;
    this.aim();
  }

  /** Whether a new connection has to be asked what kind of server it leads to. */
  get particular(): boolean {
    return this.options.target !== 'any';
  }

  /** Whether a server that takes no writes is the wrong one, so that another is to be looked for. */
  get wantsWrites(): boolean {
    return this.options.target !== 'replica';
  }

  /** New connections of the pool go to the server that was found last. */
  aim(): void {
    const host = this.options.hosts[this.current];
    if (host !== undefined) Object.assign(this.config, host, { socketPath: undefined });
  }

  /** Rejects if a connection leads to a server of the wrong kind. */
  async check(connection: CoreConnection): Promise<void> {
    const { target } = this.options;
    if (target === 'any') return;
    const question = 'SELECT @@global.read_only AS readOnly';
    const [row] = await this.inTime(connection, ask<{ readOnly: number }>(connection, question));
    const takesWrites = Number(row?.readOnly) === 0;
    if (takesWrites === (target === 'primary')) return;
    const { host, port } = connection.config;
    const kind = takesWrites
      ? 'takes writes, and a replica is wanted'
      : 'is read-only, and a primary is wanted';
    throw Object.assign(new Error(`The server ${host}:${port} ${kind}.`), { code: WRONG_TARGET });
  }

  /** Looks for a server that answers and is of the right kind; that one is aimed at from then on. */
  async find(): Promise<void> {
    const { hosts } = this.options;
    const indices = hosts.length === 0 ? [0] : hosts.map((_, at) => at);
    this.current = await this.race(indices);
    this.aim();
  }

  /** A connection of its own to a server, outside of the pool; rejects when it cannot be made. */
  connect(to?: Pick<ConnectionConfig, 'host' | 'port'>): Promise<CoreConnection> {
    const config = copyConfig(this.config);
    if (to !== undefined) Object.assign(config, { host: to.host, port: to.port });
    return new Promise((resolve, reject) => {
      const connection = new core.Connection({ config });
      connection.connect((error) => {
        if (error) {
          dropSocket(connection);
          reject(error);
        } else resolve(connection);
      });
      connection.on('error', () => {});
    });
  }

  /** One after the other, the next as soon as one fails or is silent; the first that will do wins. */
  private race(indices: readonly number[]): Promise<number> {
    const { clock } = this.options.policy.settings;
    return new Promise((resolve, reject) => {
      let next = 0;
      let pending = 0;
      let done = false;
      const launch = (): void => {
        const index = indices[next];
        if (done || index === undefined) return;
        next += 1;
        pending += 1;
        let overtaken = false;
        const goOn = (): void => {
          if (overtaken) return;
          overtaken = true;
          launch();
        };
        const silence = clock.setTimeout(goOn, SILENCE_MS);
        this.probe(index).then(
          () => {
            silence.cancel();
            done = true;
            resolve(index);
          },
          (error: unknown) => {
            silence.cancel();
            pending -= 1;
            goOn();
            if (pending === 0 && next >= indices.length && !done) reject(error);
          },
        );
      };
      launch();
    });
  }

  private async probe(index: number): Promise<void> {
    const connection = await this.connect(
      this.options.hosts[index] as ConnectionConfig | undefined,
    );
    try {
      await this.check(connection);
    } finally {
      farewell(connection);
    }
  }

  /** An answer to a question of ours; a server that is silent for too long counts as one that cannot be reached. */
  async inTime<T>(connection: CoreConnection, answer: Promise<T>): Promise<T> {
    const { clock } = this.options.policy.settings;
    let late = (): void => {};
    const silence = new Promise<never>((_, reject) => {
      late = () =>
        reject(
          Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT', syscall: 'connect' }),
        );
    });
    const timer = clock.setTimeout(() => {
      late();
      dropSocket(connection);
    }, ANSWER_TIMEOUT_MS);
    try {
      return await Promise.race([answer, silence]);
    } finally {
      timer.cancel();
    }
  }
}
