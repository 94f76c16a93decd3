import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { OptionError, OutlastError } from '@outlast/core-retry';
import { encodePath } from './address.js';
import type { CallBounds } from './options.js';
import type { Transport } from './transport.js';

/** What is uploaded. */
export type UploadSource = { readonly file: string } | { readonly bytes: Buffer };

/** As many files at once. */
const MOST_AT_ONCE = 4;

/**
 * Where the proxied store keeps what has this URI.
 *
 * @throws OutlastError for a store that the server does not serve
 */
export function proxiedPath(uri: string, origin: string): string {
  const parts = /^mlflow-artifacts:(?:\/\/([^/]*))?\/+(.*?)\/*$/.exec(uri);
  const elsewhere =
    parts?.[1] !== undefined && parts[1] !== '' && parts[1] !== new URL(origin).host;
  if (parts === null || elsewhere) {
    throw new OutlastError(
      'OUTLAST_MLFLOW_STORE',
      `The artifacts are kept at ${uri}, which the tracking server does not serve. Files can be uploaded where it runs with --serve-artifacts.`,
    );
  }
  return parts[2] as string;
}

/**
 * @throws OptionError for a name that the server would refuse, or keep as another: it decodes what looks encoded
 */
export function checkName(operation: string, name: string): void {
  const wrong = (why: string): OptionError =>
    new OptionError(
      `${operation}(artifact path)`,
      `${why}; got '${name.slice(0, 100)}'. Good is 'model/data.bin'.`,
    );
  const parts = name.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw wrong("must be relative, without empty parts, '.' and '..'");
  }
  if (/[#\\\0]/.test(name)) throw wrong("must hold no '#', '\\' or NUL, which MLflow refuses");
  if (/%[0-9a-f]{2}/i.test(name)) {
    throw wrong("must hold nothing like '%41', for MLflow would decode it and keep another name");
  }
}

/** PUT replaces a file as a whole, or not at all: it may be repeated. */
export async function upload(
  transport: Transport,
  operation: string,
  place: string,
  source: UploadSource,
  bounds: CallBounds,
): Promise<void> {
  const answer = await transport.stream({
    operation,
    method: 'PUT',
    path: `/api/2.0/mlflow-artifacts/artifacts/${encodePath(place)}`,
    headers: { 'content-type': 'application/octet-stream' },
    idempotent: true,
    bounds,
    body: async () => {
      if ('bytes' in source) return { data: source.bytes, length: source.bytes.length };
      const { size } = await stat(source.file);
      // No more than it had when its length was sent.
      const end = Math.max(0, size - 1);
      if (size === 0) return { data: Buffer.alloc(0), length: 0 };
      return { data: createReadStream(source.file, { end }), length: size };
    },
  });
  // It is there; what more is said of it does not matter.
  answer.body.resume();
}

/** A few at a time; the first failure ends it. */
export async function inTurn<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      try {
        await work(items[next++] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: MOST_AT_ONCE }, worker));
}
