import type { AxiosInstance } from 'axios';
import type { Origins } from './connect.js';
import type { ClientSettings } from './options.js';

/** What stands behind a client of `withRetry`. */
export interface ClientState extends ClientSettings {
  /** The instance that was given: it makes the requests, and repeats nothing. */
  readonly base: AxiosInstance;
  readonly origins: Origins;
}

const states = new WeakMap<object, () => ClientState>();

/** @param state asked when it is first needed */
export function rememberClient(client: object, state: () => ClientState): void {
  states.set(client, state);
}

/** Undefined for an instance of plain axios. */
export function stateOf(client: object | undefined): ClientState | undefined {
  return client === undefined ? undefined : states.get(client)?.();
}
