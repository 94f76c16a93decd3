import type { Readable } from 'node:stream';
import { redact } from '@outlast/core-retry/connector';
import { GIVE_CLIENT_CERTIFICATE } from './certificate-error.js';

/** What is worth knowing of an answer that refuses. */
export interface Answer {
  readonly status: number;
  /** MLflow's `error_code`. */
  readonly errorCode: string | undefined;
  /** What the server says, printable. */
  readonly reason: string;
  /** Whether it is a page for people. */
  readonly html: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

type Headers = Readonly<Record<string, unknown>>;

// Errors of MLflow hold SQL and paths, but no error needs more than this.
const LONGEST_REFUSAL = 16_384;
const LONGEST_REASON = 500;
const KEPT_HEADERS = ['retry-after', 'date', 'content-type'];

/**
 * Reads an answer that refuses. Bodies come in five shapes: `{ error_code, message, sqlstate, error_class }`,
 * `{ error_code, message }`, `{ detail }` (uvicorn's own routes), plain text (401, 403) and HTML (Flask and
 * proxies).
 *
 * @see test/fixtures/recorded-mlflow.json: what mlflow 3.17.2 answered
 */
export function readAnswer(status: number, headers: Headers, text: string): Answer {
  const kept = keep(headers);
  const html = isHtml(kept['content-type'], text);
  if (html) return { status, errorCode: undefined, reason: pageTitle(text), html, headers: kept };
  const body = parsed(text);
  const code = body?.['error_code'];
  const errorCode = typeof code === 'string' || typeof code === 'number' ? `${code}` : undefined;
  const message = body === undefined ? text : (body['message'] ?? body['detail'] ?? '');
  const reason = printable(typeof message === 'string' ? message : JSON.stringify(message));
  return { status, errorCode, reason, html, headers: kept };
}

/** Whether an answer is a page, by what it says of itself or by how it begins. */
export function isHtml(contentType: unknown, text: string): boolean {
  if (typeof contentType === 'string' && /^text\/html\b/i.test(contentType)) {
    // MLflow says text/html of plain sentences, too: "Endpoint: … disabled due to …"
    return /^\s*</.test(text) || text.trim() === '';
  }
  return /^\s*<(!doctype html|html)\b/i.test(text);
}

/** The text of a body that refuses; what is longer than it may be is destroyed unread. */
export async function readRefusal(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length >= LONGEST_REFUSAL) break;
    }
  } catch {
    // What has come of it is enough to know what it means.
  } finally {
    body.destroy();
  }
  return Buffer.concat(chunks).toString('utf8').slice(0, LONGEST_REFUSAL);
}

function keep(headers: Headers): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of KEPT_HEADERS) {
    const value = headers[name];
    if (typeof value === 'string') kept[name] = value;
  }
  return kept;
}

function pageTitle(text: string): string {
  const title = /<title[^>]*>([^<]{1,200})/i.exec(text)?.[1];
  if (title === undefined) return 'an HTML page';
  // nginx says it so, whether there was none or another one than it believes.
  const cure = /\bSSL certificate\b/.test(title) ? `. ${GIVE_CLIENT_CERTIFICATE}` : '';
  return printable(`an HTML page, “${title.trim()}”`) + cure;
}

/** Without secrets, SQL and line breaks, and short. */
function printable(text: string): string {
  const [sentence = ''] = text.split('[SQL:');
  const clean = redact(sentence)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim();
  return clean.length > LONGEST_REASON ? `${clean.slice(0, LONGEST_REASON - 1)}…` : clean;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
