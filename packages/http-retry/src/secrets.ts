import { PassThrough, Readable } from 'node:stream';
import { retryInfo } from '@outlast/core-retry';
import { redact } from '@outlast/core-retry/connector';

const HIDDEN = '***';
/** Names of headers and parameters whose values are credentials. */
const SECRET_NAME =
  /auth|cookie|token|secret|passw|pwd|signature|credential|(^|[-_])(key|sig|apikey)$/i;
const HARMLESS: ReadonlySet<string> = new Set([
  'idempotency-key',
  'sec-websocket-key',
  'authority',
]);
const LONGEST_TEXT = 65_536;
const MOST_CAUSES = 8;

type Fields = Record<string, unknown>;

const scrubbed = new WeakSet<object>();
// What a config was before it was shown to anybody, so that it can be sent again.
const originals = new WeakMap<object, object>();

/** The config with which to send again what a scrubbed one shows. */
export function originalConfig<T extends object>(config: T): T {
  return (originals.get(config) as T | undefined) ?? config;
}

/**
 * Takes credentials off an error that is about to surface, and off those of the attempts before it: axios hangs the
 * whole request on it, with its headers, its socket and its agents. The error stays the same object.
 */
export function hideSecrets(error: unknown): void {
  scrub(error);
  for (const earlier of retryInfo(error)?.failures ?? []) scrub(earlier.error);
}

function scrub(error: unknown): void {
  let it: unknown = error;
  for (let depth = 0; depth < MOST_CAUSES && isObject(it); depth++) {
    if (scrubbed.has(it)) return;
    scrubbed.add(it);
    try {
      hide(it as Fields);
      it = (it as Fields)['cause'];
    } catch {
      // A frozen error, or a hostile one: it surfaces as it is.
      return;
    }
  }
}

function hide(error: Fields): void {
  for (const key of ['message', 'stack', 'url', 'input']) {
    const value = error[key];
    if (typeof value !== 'string') continue;
    const clean = cleanUrl(value);
    if (clean !== value) error[key] = clean;
  }
  if (isObject(error['config'])) error['config'] = cleanConfig(error['config'] as Fields);
  if (isObject(error['request'])) error['request'] = summaryOf(error['request'] as Fields);
  const response = error['response'];
  if (!isObject(response)) return;
  const fields = response as Fields;
  if (isObject(fields['config'])) fields['config'] = cleanConfig(fields['config'] as Fields);
  if (isObject(fields['request'])) fields['request'] = summaryOf(fields['request'] as Fields);
  if (isObject(fields['headers'])) fields['headers'] = cleanFields(fields['headers'] as Fields);
  // The stream of an answer leads back to its request.
  if (fields['data'] instanceof Readable) fields['data'] = unlinked(fields['data']);
}

const cleaned = new WeakMap<object, object>();

function cleanConfig(config: Fields): Fields {
  if (originals.has(config)) return config;
  const known = cleaned.get(config);
  if (known !== undefined) return known as Fields;
  const copy = shallow(config);
  for (const key of ['url', 'baseURL', 'data']) {
    const value = copy[key];
    if (typeof value === 'string' && value.length <= LONGEST_TEXT) copy[key] = cleanUrl(value);
  }
  if (isObject(copy['headers'])) copy['headers'] = cleanFields(copy['headers'] as Fields);
  if (copy['params'] instanceof URLSearchParams) {
    copy['params'] = new URLSearchParams(cleanUrl(`?${copy['params']}`).slice(1));
  } else if (isObject(copy['params'])) copy['params'] = cleanFields(copy['params'] as Fields);
  if (isObject(copy['auth'])) copy['auth'] = { username: HIDDEN, password: HIDDEN };
  if (isObject(copy['proxy'])) {
    const proxy = shallow(copy['proxy'] as Fields);
    if (proxy['auth'] !== undefined) proxy['auth'] = HIDDEN;
    copy['proxy'] = proxy;
  }
  // Agents hold keys, passphrases, and the requests of others.
  for (const key of ['httpAgent', 'httpsAgent', 'transport']) delete copy[key];
  originals.set(copy, config);
  cleaned.set(config, copy);
  return copy;
}

function cleanFields(fields: Fields): Fields {
  const copy = shallow(fields);
  for (const key of Object.keys(copy)) {
    const value = copy[key];
    if (SECRET_NAME.test(key) && !HARMLESS.has(key.toLowerCase())) copy[key] = HIDDEN;
    else if (typeof value === 'string') copy[key] = cleanUrl(value);
  }
  return copy;
}

/** What a request is known by; the thing itself holds its headers as text, its socket and its agent. */
function summaryOf(request: Fields): object {
  if (originals.has(request)) return request;
  const current = (request['_currentRequest'] as Fields | undefined) ?? request;
  const res = current['res'] as Fields | undefined;
  const text = (key: string): string | undefined => {
    const value = current[key];
    return typeof value === 'string' ? cleanUrl(value) : undefined;
  };
  const summary = {
    method: text('method'),
    protocol: text('protocol'),
    host: text('host'),
    path: text('path'),
    ...(typeof res?.['responseUrl'] === 'string' && {
      res: { responseUrl: cleanUrl(res['responseUrl']) },
    }),
  };
  originals.set(summary, summary);
  return summary;
}

/** A text without user names, passwords, tokens and signatures of the URLs in it. */
export function cleanUrl(text: string): string {
  return redact(
    text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/?#@]*(?::[^\s/?#]*)?@/gi, `$1${HIDDEN}@`),
  );
}

function unlinked(source: Readable): Readable {
  const through = new PassThrough();
  source.on('error', (error) => through.destroy(error));
  through.on('close', () => source.destroy());
  return source.pipe(through);
}

function shallow(fields: Fields): Fields {
  return Object.create(
    Object.getPrototypeOf(fields),
    Object.getOwnPropertyDescriptors(fields),
  ) as Fields;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
