import { OutlastError } from '@outlast/core-retry';
import { isHtml, readAnswer } from './answer.js';
import { CutAnswerError, MlflowError } from './errors.js';
import type { Exchanged } from './exchange.js';

// Far above what a search of 50 000 runs weighs; a text longer than 512 MiB cannot be made.
const LONGEST = 256 * 1024 * 1024;

/** These are int64, which JSON of older servers holds as texts. */
const INTEGERS: ReadonlySet<string> = new Set([
  'creation_time',
  'creation_timestamp',
  'creation_timestamp_ms',
  'end_time',
  'file_size',
  'last_update_time',
  'last_updated_timestamp',
  'last_updated_timestamp_ms',
  'start_time',
  'step',
  'timestamp',
]);

/**
 * Reads an answer of 2xx to its end. An empty one is `{}`.
 *
 * @param plain whether a text is expected
 * @throws MlflowError for a page, as logins make them; CutAnswerError for what is no JSON
 */
export async function readJson(
  operation: string,
  answer: Exchanged,
  plain = false,
): Promise<unknown> {
  const { status, headers, body } = answer;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > LONGEST) {
      body.destroy();
      throw new OutlastError(
        'OUTLAST_ANSWER_TOO_LONG',
        `The answer to ${operation} is longer than ${LONGEST} bytes. Ask for smaller pages: maxResults.`,
      );
    }
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (isHtml(headers['content-type'], text) && text !== '') {
    throw new MlflowError(operation, readAnswer(status, headers, text));
  }
  if (plain) return text;
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text, (key, value) =>
      typeof value === 'string' && INTEGERS.has(key) && /^-?\d+$/.test(value)
        ? Number(value)
        : value,
    );
  } catch {
    throw new CutAnswerError(operation);
  }
}
