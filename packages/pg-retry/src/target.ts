import type driver from 'pg';
import { internals } from './driver.js';
import type { Target } from './host-list.js';

/** What a server says of itself to a new connection. */
interface Standing {
  readonly standby: boolean;
  readonly readOnly: boolean;
}

/** Sent by PostgreSQL 14 and later to each new connection. */
const REPORTED: ReadonlySet<string> = new Set(['in_hot_standby', 'default_transaction_read_only']);

const ASK = `select pg_is_in_recovery() as standby,
  current_setting('default_transaction_read_only') = 'on' as "readOnly"`;

// Both shapes that @types/pg allows.
type ConnectedCallback = ((error: Error) => void) | ((error: null, client: driver.Client) => void);

/** Why a server is not the one that was looked for, in libpq's words. */
export const TARGET_MESSAGES = [
  'server is in hot standby mode',
  'server is not in hot standby mode',
  'session is read-only',
  'session is not read-only',
] as const;

/** Whether an error says that a server is of the wrong kind; it may be of the right one tomorrow. */
export function isTargetError(error: Error): boolean {
  return (TARGET_MESSAGES as readonly string[]).includes(error.message);
}

/** Why a server with this standing is not wanted; undefined if it is. */
function unwanted(
  target: Target,
  { standby, readOnly }: Standing,
): (typeof TARGET_MESSAGES)[number] | undefined {
  switch (target) {
    case 'primary':
      return standby ? 'server is in hot standby mode' : undefined;
    case 'standby':
      return standby ? undefined : 'server is not in hot standby mode';
    case 'read-write':
      return standby || readOnly ? 'session is read-only' : undefined;
    case 'read-only':
      return standby || readOnly ? undefined : 'session is not read-only';
    default:
      return undefined;
  }
}

/**
 * The driver's client class, whose connect also fails on a server that is not what `wanted` says when the
 * client is made. PostgreSQL 14 and later tell it while connecting; others are asked, in a round trip.
 */
export function targetedClient(
  Client: new (config?: unknown) => driver.Client,
  wanted: () => Target,
): new (
  config?: unknown,
) => driver.Client {
  return class extends Client {
    readonly #wanted = wanted();
    readonly #told = new Map<string, string>();

    constructor(config?: unknown) {
      super(config);
      internals(this).connection?.on('parameterStatus', (message) => {
        const { parameterName = '', parameterValue = '' } = message ?? {};
        if (REPORTED.has(parameterName)) this.#told.set(parameterName, parameterValue);
      });
    }

    override connect(): Promise<driver.Client>;
    override connect(callback: ConnectedCallback): void;
    override connect(callback?: ConnectedCallback): Promise<driver.Client> | undefined {
      const connected = super.connect().then(async (self) => {
        await this.#check();
        return self;
      });
      if (callback === undefined) return connected;
      const answer = callback as (error: unknown, client?: driver.Client) => void;
      connected.then(
        (self) => process.nextTick(answer, null, self),
        (error: unknown) => process.nextTick(answer, error),
      );
      return undefined;
    }

    async #check(): Promise<void> {
      if (this.#wanted === 'any' || this.#wanted === 'prefer-standby') return;
      const why = unwanted(this.#wanted, this.#standing() ?? (await askStanding(this)));
      if (why === undefined) return;
      // The pool forgets a client that did not connect; its socket is ours to close.
      this.on('error', () => {});
      void this.end().catch(() => {});
      throw new Error(why);
    }

    #standing(): Standing | undefined {
      const standby = this.#told.get('in_hot_standby');
      const readOnly = this.#told.get('default_transaction_read_only');
      if (standby === undefined || readOnly === undefined) return undefined;
      return { standby: standby === 'on', readOnly: readOnly === 'on' };
    }
  };
}

async function askStanding(client: driver.ClientBase): Promise<Standing> {
  return (await client.query(ASK)).rows[0] as Standing;
}

/**
 * Whether a server that refused a write as read-only has become of the wrong kind, as after a promotion
 * elsewhere: then the refusal is the server's and not what the application asked for.
 */
export async function isDemoted(client: driver.ClientBase, target: Target): Promise<boolean> {
  if (target !== 'primary' && target !== 'read-write') return false;
  return unwanted(target, await askStanding(client)) !== undefined;
}
