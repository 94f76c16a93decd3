import { OptionError } from '@outlast/core-retry';
import { redact } from '@outlast/core-retry/connector';

/** Where a tracking server is. */
export interface Address {
  /** `http://host:5000`. */
  readonly origin: string;
  /** What comes before every path: `''`, or such as `/mlflow`. */
  readonly prefix: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

const RIGHT = "such as 'http://127.0.0.1:5000' or 'https://mlflow.example.com/prefix'";

/**
 * Reads a tracking URI.
 *
 * @param name how messages call it: `trackingUri`, or the variable that it came from
 * @throws OptionError for what is no http(s) URL
 */
export function readAddress(name: string, text: string): Address {
  const wrong = (why: string): OptionError => {
    const shown = redact(text).slice(0, 100);
    return new OptionError(
      name,
      `must be the URL of a tracking server, ${RIGHT}; ${why}: ${shown}`,
    );
  };
  if (typeof text !== 'string') throw new OptionError(name, `must be a text, ${RIGHT}.`);
  if (/^databricks(:|$)/.test(text)) throw wrong('Databricks is not supported, got');
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    throw wrong('this is no URL');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw wrong('got');
  if (url.search !== '' || url.hash !== '') throw wrong('it must end with its path, got');
  const decoded = (part: string): string | undefined => {
    if (part === '') return undefined;
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return {
    origin: url.origin,
    prefix: url.pathname.replace(/\/+$/, ''),
    username: decoded(url.username),
    password: decoded(url.password),
  };
}

/** A query: what is undefined is left out, a list is repeated. */
export type Query = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

/** `?a=1&b=2&b=3`, or nothing. */
export function queryText(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(key, String(one));
  }
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

/** A path of artifacts, each of its names encoded once: the server decodes again and again. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
