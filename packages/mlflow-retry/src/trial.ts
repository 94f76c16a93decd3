import type { Attempt, Failure, Phase } from '@outlast/core-retry';
import { readAnswer, readRefusal } from './answer.js';
import { classifyMlflow } from './classify.js';
import { isMlflowError, MlflowError } from './errors.js';
import { type Exchanged, exchange, wasFresh } from './exchange.js';
import { followRedirects } from './redirects.js';
import type { Opened, Transport, UploadBody } from './transport.js';

/** What is sent once an attempt. */
export interface Shipment {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Made anew for each request: a stream can be sent once. */
  readonly body?: () => UploadBody | Promise<UploadBody>;
  /** Statuses that are answers, beside 2xx. */
  readonly accept?: readonly number[];
  readonly firstByteMs?: number;
}

/** A login page, and an error inside MLflow, may pass; but not often. */
const MOST_PAGES = 2;
const MOST_INTERNAL_ERRORS = 2;

/** A gateway's: its server cannot be reached. */
const GATEWAY = [502, 503, 504];

/** One operation over all its attempts: the patience that is left, and what it has been told so far. */
export class Trial {
  private readonly transport: Transport;
  private readonly operation: string;
  private readonly idempotent: boolean;
  private readonly impatient: boolean;
  private patienceMs: number;
  /** A request that went out before has come to nobody knows what. */
  mayHaveApplied = false;
  private attempt!: Attempt;
  private pages = 0;
  private internalErrors = 0;

  /** @param impatient whether it fails at once where others would wait for the server */
  constructor(transport: Transport, operation: string, idempotent: boolean, impatient = false) {
    this.transport = transport;
    this.operation = operation;
    this.idempotent = idempotent;
    this.impatient = impatient;
    this.patienceMs = transport.settings.waitMs;
  }

  run<T>(attempt: Attempt, work: (trial: Trial, attempt: Attempt) => Promise<T>): Promise<T> {
    this.attempt = attempt;
    return work(this, attempt);
  }

  /** What an error means to this operation. */
  classify(error: unknown, phase: Phase): Failure {
    const failure = this.transport.policy.settings.classify(error, phase);
    if (failure.outcome === 'unknown') this.mayHaveApplied = true;
    if (!failure.transient) return failure;
    if (failure.code === 'HTML') this.pages += 1;
    if (isMlflowError(error) && error.status === 500) this.internalErrors += 1;
    const enough = this.pages >= MOST_PAGES || this.internalErrors >= MOST_INTERNAL_ERRORS;
    return enough ? { ...failure, transient: false } : failure;
  }

  /**
   * Sends a request, as soon as the server can be reached, and returns its answer if that is one.
   *
   * @throws MlflowError for an answer that refuses
   */
  async send(shipment: Shipment): Promise<Opened> {
    const { transport, attempt } = this;
    const { reconnect, gate } = transport;
    for (;;) {
      attempt.phase = 'acquire';
      // Nobody dials for himself while the loop does.
      if (reconnect.waiting > 0 && !this.impatient) await this.wait();
      await gate.enter(attempt.signal);
      const probes = transport.failedProbes;
      let left = false;
      const leave = (): void => {
        if (!left) gate.leave();
        left = true;
      };
      try {
        const opened = await this.exchange(shipment);
        opened.body.once('close', leave);
        return opened;
      } catch (error) {
        leave();
        if (!(await this.outlasted(error, probes))) throw error;
      }
    }
  }

  /** Whether the server could not be reached, has been waited for, and the request may go out again. */
  private async outlasted(error: unknown, probes: number): Promise<boolean> {
    const { transport, attempt } = this;
    const failure = classifyMlflow(error, attempt.phase);
    if (!isOutage(error, failure)) return false;
    const sent = failure.outcome === 'unknown';
    // Whoever gives up waiting marks what the reconnect was told as never sent.
    transport.reconnect.failed(sent ? twin(error as object) : error);
    if (sent) this.mayHaveApplied = true;
    if (this.impatient || (sent && !this.idempotent)) return false;
    if (!sent) {
      await this.wait();
      return true;
    }
    try {
      await this.wait();
    } catch {
      // What it has come to is said by the request itself, not by those that looked for the server.
      return false;
    }
    // If the first probe found it, it was there all the time: then this was an attempt.
    return transport.failedProbes > probes;
  }

  private async exchange(shipment: Shipment): Promise<Opened> {
    const { transport, attempt, operation } = this;
    const { accept = [], body: makeBody, ...rest } = shipment;
    const { clock } = transport.policy.settings;
    const sending = await makeBody?.();
    attempt.phase = 'connect';
    const request = {
      ...rest,
      body: sending,
      operation,
      clock,
      silenceMs: transport.settings.timeoutMs,
      signal: attempt.signal,
      onSent: () => {
        attempt.phase = 'sent';
      },
    };
    let answer: Exchanged = await exchange(transport.axios, request);
    answer = await followRedirects(transport, request, answer);
    const { status, headers, body } = answer;
    if (status < 500) transport.reconnect.succeeded();
    if ((status >= 200 && status < 300) || accept.includes(status)) return answer;
    throw new MlflowError(operation, readAnswer(status, headers, await readRefusal(body)));
  }

  private async wait(): Promise<void> {
    const { transport, attempt } = this;
    const { clock } = transport.policy.settings;
    const start = clock.now();
    try {
      await transport.reconnect.wait(this.patienceMs, attempt.signal);
    } finally {
      this.patienceMs = Math.max(0, this.patienceMs - (clock.now() - start));
    }
  }
}

/** Whether nobody is there: no connection, one that is closed as soon as it is made, or a gateway that says so. */
function isOutage(error: unknown, failure: Failure): boolean {
  const { transient, category, outcome, retryAfterMs } = failure;
  if (!transient) return false;
  if (isMlflowError(error)) {
    const gateway = GATEWAY.includes(error.status) && error.errorCode === undefined;
    return gateway && retryAfterMs === undefined;
  }
  if (category !== 'network' && category !== 'timeout') return false;
  return outcome === 'not-applied' || (category === 'network' && wasFresh(error));
}

function twin(error: object): object {
  return Object.create(Object.getPrototypeOf(error), Object.getOwnPropertyDescriptors(error));
}
