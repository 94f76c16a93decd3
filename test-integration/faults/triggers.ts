import type { Direction, FaultHit, FaultKind, FaultSpec } from './fault.js';
import { type Finder, finder, type Pattern, Scanner, type Window } from './pattern.js';

/** What a trigger is shown: a chunk that is about to be delivered. */
export interface Seen {
  /** Which connection; the object itself is what a trigger remembers it by. */
  connection: { readonly id: number };
  direction: Direction;
  window: Window;
  /** Whether the chunk begins a request: the connection's first bytes, or the first after a reply. */
  newRequest: boolean;
}

/** A trigger's verdict: run this fault, and say what became of it. */
export interface Strike {
  spec: FaultSpec;
  over(hit: FaultHit): void;
}

/** Something that watches what passes and may strike. */
export interface Trigger {
  /** False once it can strike no more. */
  readonly live: boolean;
  match(seen: Seen): Strike | undefined;
}

/** What to wait for. Everything is counted from the arming on, over all connections. */
export type When =
  /** The `nth` (default 1) occurrence of `bytes` in a direction (default `request`). */
  | { bytes: Pattern; direction?: Direction; nth?: number }
  /** The n-th request: bytes from a client that begin a connection or follow a reply. Nothing is read, so TLS will do. */
  | { requestNumber: number };

/** A fault that waits for its moment. */
export interface ArmOptions extends FaultSpec {
  when: When;
  /** Strike so many matches in a row. Default 1. */
  times?: number;
}

/** An armed fault, seen by a test. */
export class ArmedFault implements Trigger {
  /** False once it has struck `times` times, or was disarmed. */
  live = true;
  /** How often it has struck. */
  fired = 0;
  /** Resolves when what it first did is over: the client cut, the held bytes delivered. Never rejects. */
  readonly hit: Promise<FaultHit>;
  readonly #options: ArmOptions;
  readonly #finder: Finder | undefined;
  readonly #scanners = new WeakMap<object, Scanner>();
  #count = 0;
  #over!: (hit: FaultHit) => void;

  constructor(options: ArmOptions) {
    this.#options = options;
    this.#finder = 'bytes' in options.when ? finder(options.when.bytes) : undefined;
    this.hit = new Promise((resolve) => {
      this.#over = resolve;
    });
  }

  /** Strikes no more. */
  disarm(): void {
    this.live = false;
  }

  match(seen: Seen): Strike | undefined {
    if (!this.live) return undefined;
    const { when, times = 1 } = this.#options;
    const occurrences = this.#occurrences(seen);
    this.#count += occurrences;
    const first = 'bytes' in when ? (when.nth ?? 1) : when.requestNumber;
    if (occurrences === 0 || this.#count < first) return undefined;
    this.fired++;
    if (this.fired >= times) this.live = false;
    return { spec: this.#options, over: this.#over };
  }

  #occurrences(seen: Seen): number {
    const { when } = this.#options;
    if ('requestNumber' in when) return seen.direction === 'request' && seen.newRequest ? 1 : 0;
    if (!this.#finder || seen.direction !== (when.direction ?? 'request')) return 0;
    return scan(this.#scanners, this.#finder, seen);
  }
}

/** A storm: every matching request is hit with probability `rate` by one of `faults`. */
export interface RandomOptions extends Omit<FaultSpec, 'fault'> {
  /** In [0, 1). A seeded one makes a storm that can be repeated. */
  random: () => number;
  /** 0…1, for each chunk of a request in which `match` occurs. */
  rate: number;
  /** Each as likely as the others; name one twice to have it twice as often. */
  faults: FaultKind[];
  match: Pattern;
}

/** A running storm. */
export class RandomFaults implements Trigger {
  /** Until `stop`. */
  live = true;
  /** How many requests matched. */
  matched = 0;
  /** How many of them were hit. */
  fired = 0;
  readonly #options: RandomOptions;
  readonly #finder: Finder;
  readonly #scanners = new WeakMap<object, Scanner>();

  constructor(options: RandomOptions) {
    this.#options = options;
    this.#finder = finder(options.match);
  }

  /** Ends the storm; what is under way is finished. */
  stop(): void {
    this.live = false;
  }

  match(seen: Seen): Strike | undefined {
    if (!this.live || seen.direction !== 'request') return undefined;
    if (scan(this.#scanners, this.#finder, seen) === 0) return undefined;
    this.matched++;
    const { random, rate, faults, match: _, ...manner } = this.#options;
    if (random() >= rate) return undefined;
    const fault = faults[Math.floor(random() * faults.length)];
    if (!fault) return undefined;
    this.fired++;
    return { spec: { ...manner, fault }, over: () => {} };
  }
}

function scan(scanners: WeakMap<object, Scanner>, find: Finder, seen: Seen): number {
  let scanner = scanners.get(seen.connection);
  if (!scanner) {
    // what passed before the arming stands in the window's tail and must not match
    scanner = new Scanner(find, seen.window.chunkOffset);
    scanners.set(seen.connection, scanner);
  }
  return scanner.count(seen.window);
}
