import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import {
  type Attempt,
  ClosedError,
  type Failure,
  type Phase,
  type Resolution,
  type RetryPolicy,
} from '@outlast/core-retry';
import { Reconnect } from '@outlast/core-retry/connector';
import axios, { type AxiosInstance } from 'axios';
import { type Query, queryText } from './address.js';
import { type Agents, closeAgents, makeAgents } from './agents.js';
import { readAnswer, readRefusal } from './answer.js';
import { classifyMlflow } from './classify.js';
import { MlflowError } from './errors.js';
import { exchange } from './exchange.js';
import { Gate } from './gate.js';
import { readJson } from './json.js';
import type { CallBounds, ClientSettings } from './options.js';
import { Trial } from './trial.js';

/** One call of the API. */
export interface ApiCall<T> {
  /** Python's name in camelCase; events and errors call it `mlflow.<name>`. */
  readonly operation: string;
  /** Default GET. */
  readonly method?: Method;
  /** What follows `/api/2.0/mlflow/`; or from the server's prefix on, if it begins with a slash. */
  readonly path: string;
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: object;
  /** Whether it may run again although it may have taken effect. Default: whether it is a GET. */
  readonly idempotent?: boolean;
  /** How it becomes known what became of it, if its answer was lost. */
  readonly resolve?: (attempt: Attempt) => Promise<Resolution<T>>;
  /**
   * Asked when the server refuses a repetition for good, although the request before may have taken effect: what
   * the caller gets if that is why.
   */
  readonly settled?: (failure: Failure, attempt: Attempt) => Promise<T | undefined>;
  /** What the caller gets of the answer. */
  // biome-ignore lint/suspicious/noExplicitAny: the server's JSON
  readonly pick: (answer: any) => T;
  /** The answer is a text, not JSON: what `pick` gets. */
  readonly plain?: boolean;
  readonly bounds?: CallBounds | undefined;
  /** It is part of another operation, which has passed the breaker and the budget. */
  readonly inner?: boolean;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** One request whose body, or answer, is a stream. */
export interface StreamCall {
  readonly operation: string;
  readonly method?: Method;
  /** As of {@link ApiCall}. */
  readonly path: string;
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  /** A new body for each request, with its length if that is known. */
  readonly body?: () => UploadBody | Promise<UploadBody>;
  readonly idempotent?: boolean;
  /** Statuses that are answers, beside 2xx: 416. */
  readonly accept?: readonly number[];
  /** How long the first byte may take, in milliseconds. Default: the client's `timeoutMs`. */
  readonly firstByteMs?: number;
  readonly bounds?: CallBounds | undefined;
}

export interface UploadBody {
  readonly data: Readable | Buffer;
  readonly length?: number;
}

/** An answer whose body is still to come. It holds one of the client's places until the body has ended or is destroyed. */
export interface Opened {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
}

const PROBE_MS = 5000;

/** All that goes to one tracking server: one pool of connections, one policy, one reconnect loop, one gate. */
export class Transport {
  readonly policy: RetryPolicy;
  readonly settings: ClientSettings;
  readonly reconnect: Reconnect;
  /**
   * An axios with the base URL, the credentials and the certificates of the client; it follows no redirects.
   * What is asked through it is neither retried nor counted.
   */
  readonly axios: AxiosInstance;
  readonly gate: Gate;
  /** How many probes of the reconnect loop have failed so far. */
  failedProbes = 0;
  private readonly agents: Agents;
  private closed: ClosedError | undefined;

  constructor(settings: ClientSettings) {
    this.settings = settings;
    this.policy = settings.policy;
    this.agents = makeAgents(settings.tls);
    this.axios = axios.create({
      ...this.agents,
      baseURL: this.base,
      headers: { ...settings.headers },
      maxRedirects: 0,
    });
    this.reconnect = new Reconnect({
      service: 'mlflow',
      policy: settings.policy,
      probe: () => this.probe(),
      // Whatever answers is there.
      isPermanent: () => false,
    });
    const { clock } = settings.policy.settings;
    this.gate = new Gate(settings.maxConcurrent, this.reconnect.slowStart, clock);
    settings.policy.on('up', () => this.gate.begin());
  }

  /** Origin and prefix, without credentials. */
  get base(): string {
    const { origin, prefix } = this.settings.address;
    return origin + prefix;
  }

  /** The URL of a call. */
  url(path: string, query: Query = {}): string {
    return `${this.base}${path.startsWith('/') ? '' : '/api/2.0/mlflow/'}${path}${queryText(query)}`;
  }

  /**
   * Asks, retries and finds out, until there is an answer in JSON.
   *
   * @throws MlflowError for an answer that refuses; the error of the network; the signal's reason;
   *   DeadlineExceededError; ClosedError
   */
  json<T>(call: ApiCall<T>): Promise<T> {
    const { operation, method = 'GET', path, query, body } = call;
    const headers: Record<string, string> = { accept: 'application/json' };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const data = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const name = `mlflow.${operation}`;
    return this.execute(call, name, async (trial, attempt) => {
      try {
        const opened = await trial.send({
          method,
          url: this.url(path, query),
          headers,
          ...(data && { body: () => ({ data, length: data.length }) }),
        });
        return call.pick(await readJson(name, opened, call.plain));
      } catch (error) {
        if (!trial.mayHaveApplied || call.settled === undefined) throw error;
        const failure = classifyMlflow(error, attempt.phase);
        const value = failure.transient ? undefined : await call.settled(failure, attempt);
        if (value === undefined) throw error;
        return value;
      }
    });
  }

  /**
   * Sends, or asks for, a stream. Retried until the headers of an answer are there; what follows is the
   * caller's affair.
   *
   * @throws as {@link json}
   */
  stream(call: StreamCall): Promise<Opened> {
    const { method = 'GET', path, query, headers = {}, firstByteMs, accept = [] } = call;
    // A moving body is bounded by silence, not by the time of an attempt.
    const narrowed = { ...call, attemptTimeoutMs: Infinity };
    return this.execute(narrowed, `mlflow.${call.operation}`, (trial) =>
      trial.send({
        method,
        url: this.url(path, query),
        headers,
        accept,
        ...(call.body && { body: call.body }),
        ...(firstByteMs !== undefined && { firstByteMs }),
      }),
    );
  }

  /** Runs work of one's own in one of the client's places. */
  async inPlace<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.gate.enter(signal);
    try {
      return await work();
    } finally {
      this.gate.leave();
    }
  }

  /** What an error means. */
  classify(error: unknown, phase: Phase = 'sent'): Failure {
    return classifyMlflow(error, phase);
  }

  /** Rejects what waits and what comes; connections are closed. */
  close(): void {
    if (this.closed !== undefined) return;
    this.closed = new ClosedError('The MLflow client');
    this.policy.close();
    this.reconnect.close(this.closed);
    this.gate.close(this.closed);
    closeAgents(this.agents);
  }

  private execute<T>(
    call: {
      readonly method?: Method;
      readonly idempotent?: boolean;
      readonly resolve?: (attempt: Attempt) => Promise<Resolution<T>>;
      readonly bounds?: CallBounds | undefined;
      readonly attemptTimeoutMs?: number;
      readonly inner?: boolean;
    },
    operation: string,
    work: (trial: Trial, attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    const { idempotent = (call.method ?? 'GET') === 'GET', resolve, bounds } = call;
    const { attemptTimeoutMs, inner } = call;
    const trial = new Trial(this, operation, idempotent);
    const { signal, totalTimeoutMs } = bounds ?? {};
    return this.policy.execute((attempt) => trial.run(attempt, work), {
      operation,
      idempotent,
      classify: (error, phase) => trial.classify(error, phase),
      ...(resolve && { resolve: (_, attempt) => resolve(attempt) }),
      ...(signal !== undefined && { signal }),
      ...(totalTimeoutMs !== undefined && { totalTimeoutMs }),
      ...(attemptTimeoutMs !== undefined && { attemptTimeoutMs }),
      ...(inner && { breaker: false, budget: false, bulkhead: false }),
    });
  }

  /** Whether anybody answers. A gateway whose server is down does so in vain. */
  private async probe(): Promise<void> {
    try {
      const { status, body, headers } = await exchange(this.axios, {
        operation: 'mlflow.connect',
        method: 'GET',
        url: this.url('/health'),
        headers: {},
        silenceMs: PROBE_MS,
        clock: this.policy.settings.clock,
      });
      if (status < 500) {
        body.resume();
        return;
      }
      const text = await readRefusal(body);
      throw new MlflowError('mlflow.connect', readAnswer(status, headers, text));
    } catch (error) {
      this.failedProbes += 1;
      throw error;
    }
  }
}
