/** What can be done to a server of our own, and to none that somebody else runs. */
export interface Withheld {
  readonly pid: undefined;
  logText(): Promise<never>;
  stop(): Promise<never>;
  start(): Promise<never>;
  kill9(): Promise<never>;
  pause(): Promise<never>;
  resume(): Promise<never>;
  dispose(): Promise<void>;
  /** Throws, naming the variable that gave the server. */
  refuse(what: string): never;
}

// biome-ignore lint/suspicious/noExplicitAny: a mixin's constructor takes whatever its base takes
type Constructor<T> = abstract new (...args: any[]) => T;

/** A class of servers that were given by an environment variable: they may be talked to, and nothing else. */
export function given<B extends Constructor<object>>(
  Base: B,
  variable: string,
  noun = 'server',
): B & Constructor<Withheld> {
  abstract class Given extends Base implements Withheld {
    get pid(): undefined {
      return undefined;
    }

    async logText(): Promise<never> {
      return this.refuse('shows no log');
    }

    async stop(): Promise<never> {
      return this.refuse('cannot be stopped');
    }

    async start(): Promise<never> {
      return this.refuse('cannot be started');
    }

    async kill9(): Promise<never> {
      return this.refuse('cannot be killed');
    }

    async pause(): Promise<never> {
      return this.refuse('cannot be paused');
    }

    async resume(): Promise<never> {
      return this.refuse('cannot be resumed');
    }

    async dispose(): Promise<void> {}

    refuse(what: string): never {
      throw new Error(
        `The ${noun} given by ${variable} ${what}: unset ${variable} to let the tests start one of their own.`,
      );
    }
  }
  return Given;
}
