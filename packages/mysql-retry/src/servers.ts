import type { RetryPolicy, Timer } from '@outlast/core-retry';
import { classifyMysql, WRONG_TARGET } from './classify.js';
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
  private finding: Promise<void> | undefined;

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

  /** Whether new connections go where this one went. */
  aimsAt({ host, port }: Pick<ConnectionConfig, 'host' | 'port'>): boolean {
    return this.config.host === host && this.config.port === port;
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

  /**
   * Looks for a server that answers and is of the right kind; that one is aimed at from then on. Who looks
   * while somebody does shares what is found. Rejects with the error of the one host, or with one that
   * lists all of them and why.
   */
  find(): Promise<void> {
    this.finding ??= this.search().finally(() => {
      this.finding = undefined;
    });
    return this.finding;
  }

  /**
   * A connection of its own to a server, outside of the pool; rejects when it cannot be made.
   *
   * @param dialled is given it at once, before it is connected
   */
  connect(
    to?: Pick<ConnectionConfig, 'host' | 'port'>,
    dialled?: (connection: CoreConnection) => void,
  ): Promise<CoreConnection> {
    const config = copyConfig(this.config);
    if (to !== undefined) Object.assign(config, { host: to.host, port: to.port });
    return new Promise((resolve, reject) => {
      const connection = new core.Connection({ config });
      dialled?.(connection);
      connection.connect((error) => {
        if (error) {
          dropSocket(connection);
          reject(error);
        } else resolve(connection);
      });
      connection.on('error', () => {});
    });
  }

  private async search(): Promise<void> {
    const { hosts } = this.options;
    const open = new Set<CoreConnection>();
    try {
      this.current = await this.race(hosts.length === 0 ? [undefined] : hosts, open);
    } finally {
      // Those that were silent are not waited for.
      for (const connection of open) dropSocket(connection);
    }
    this.aim();
  }

  /** One after the other, the next as soon as one fails or is silent; the first that will do wins. */
  private race(hosts: readonly (Host | undefined)[], open: Set<CoreConnection>): Promise<number> {
    const { clock } = this.options.policy.settings;
    return new Promise((resolve, reject) => {
      const failed = new Map<number, unknown>();
      let next = 0;
      let silence: Timer | undefined;
      const settle = (how: () => void): void => {
        next = hosts.length;
        silence?.cancel();
        how();
      };
      const launch = (): void => {
        silence?.cancel();
        if (next >= hosts.length) return;
        const at = next;
        next += 1;
        silence = clock.setTimeout(launch, SILENCE_MS);
        this.probe(hosts[at], open).then(
          () => settle(() => resolve(at)),
          (error: unknown) => {
            failed.set(at, error);
            // As libpq has it: who says no to this user is not passed over for another.
            if (!classifyMysql(error, 'connect').transient) settle(() => reject(error));
            else if (failed.size === hosts.length) settle(() => reject(this.summary(failed)));
            else launch();
          },
        );
      };
      launch();
    });
  }

  private async probe(host: Host | undefined, open: Set<CoreConnection>): Promise<void> {
    let mine: CoreConnection | undefined;
    try {
      const connection = await this.connect(host as ConnectionConfig | undefined, (dialled) => {
        mine = dialled;
        open.add(dialled);
      });
      await this.check(connection);
    } finally {
      if (mine !== undefined) {
        open.delete(mine);
        farewell(mine);
      }
    }
  }

  private summary(failed: ReadonlyMap<number, unknown>): unknown {
    const errors = [...failed.values()];
    if (errors.length === 1) return errors[0];
    const { hosts, target } = this.options;
    const reasons = hosts.map(
      ({ host, port }, at) => `${host}:${port} (${reasonOf(failed.get(at))})`,
    );
    const message = `No host will do as '${target}': ${reasons.join(', ')}.`;
    const code = errors.map((error) => (error as { code?: unknown }).code).find(Boolean);
    return Object.assign(new AggregateError(errors, message), code === undefined ? {} : { code });
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

// Node's own error of a dual-stack connect has an empty message.
function reasonOf(error: unknown): string {
  const { message, code } = error as { message?: unknown; code?: unknown };
  return String(message || code);
}
