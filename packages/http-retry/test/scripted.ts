import { ManualClock } from '@outlast/core-retry/testing';
import axios, {
  AxiosError,
  AxiosHeaders,
  type AxiosInstance,
  type CreateAxiosDefaults,
  type InternalAxiosRequestConfig,
} from 'axios';
import { type HttpRetryOptions, type Retrying, withRetry } from '../src/index.js';

/** What becomes of one request: a status, a code of the network, or silence until it is aborted. */
export type Happening = number | string | 'silence';

/** A client whose requests end as a script says, on a clock that stands still. The last line is for all that follow. */
export class Scripted {
  readonly clock = new ManualClock();
  readonly asked: InternalAxiosRequestConfig[] = [];
  readonly client: Retrying & AxiosInstance;
  private script: readonly Happening[] = [200];

  constructor(options: HttpRetryOptions = {}, defaults: CreateAxiosDefaults = {}) {
    const adapter = (config: InternalAxiosRequestConfig) => this.answer(config);
    const instance = axios.create({ baseURL: 'http://service.test', adapter, ...defaults });
    this.client = withRetry(instance, { clock: this.clock, jitter: false, ...options });
  }

  /** From the next request on. */
  play(...script: Happening[]): void {
    this.script = script;
    this.asked.length = 0;
  }

  private answer(config: InternalAxiosRequestConfig): Promise<never> {
    const { script, asked } = this;
    const what = script[Math.min(asked.length, script.length - 1)] as Happening;
    asked.push(config);
    return new Promise((resolve, reject) => {
      if (what === 'silence') {
        config.signal?.addEventListener?.('abort', () => reject(new axios.CanceledError()));
        return;
      }
      if (typeof what === 'string') return reject(new AxiosError(what, what, config));
      const response = {
        status: what,
        statusText: '',
        data: what,
        headers: new AxiosHeaders(),
        config,
      };
      if (what < 400) return resolve(response as never);
      const code = what < 500 ? 'ERR_BAD_REQUEST' : 'ERR_BAD_RESPONSE';
      reject(new AxiosError(`Request failed with status code ${what}`, code, config, {}, response));
    });
  }
}
