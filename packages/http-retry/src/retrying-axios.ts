import { type AxiosStatic, default as axios } from 'axios';
import type { ClientState } from './client-state.js';
import { Origins } from './connect.js';
import { clientSettings } from './options.js';
import { derive, type Retrying } from './with-retry.js';

let made: ClientState | undefined;

/** Made at its first request: a bad variable of the environment is not to fail an import. */
function state(): ClientState {
  if (made === undefined) {
    const settings = clientSettings(undefined);
    made = { ...settings, base: axios, origins: new Origins(settings.policy) };
  }
  return made;
}

/** axios itself, retrying, by the environment and the defaults. */
export const retryingAxios: Retrying & AxiosStatic = derive(axios, state, undefined);
/** As `axios.create`, retrying; its config may say `retry`. */
export const create: Retrying['create'] = (config) => retryingAxios.create(config);
