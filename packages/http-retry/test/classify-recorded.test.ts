import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { classifyHttp } from '../src/classify.js';

interface Recorded {
  readonly case: string;
  readonly client: string;
  readonly error: Readonly<Record<string, unknown>>;
}

/** By case: whether it may pass, and whether it can have taken effect. */
const EXPECTED: Readonly<
  Record<string, readonly [boolean, 'not-applied' | 'unknown'] | readonly [boolean]>
> = {
  refused: [true, 'not-applied'],
  refused_ephemeral_port: [true, 'not-applied'],
  dns: [true, 'not-applied'],
  reset_before_response: [true, 'unknown'],
  fin_before_response: [true, 'unknown'],
  reset_mid_body: [true, 'unknown'],
  truncated_content_length: [true, 'unknown'],
  truncated_chunked: [true, 'unknown'],
  truncated_close_delimited: [false],
  timeout_no_headers: [true, 'unknown'],
  timeout_mid_body: [true, 'unknown'],
  '429_seconds': [true, 'not-applied'],
  '429_date': [true, 'not-applied'],
  '503_html': [true],
  '404_mlflow': [false, 'not-applied'],
  invalid_json: [false],
  html_200: [false],
  redirect_loop: [false, 'unknown'],
  bad_header: [false, 'unknown'],
  bad_gzip: [true, 'unknown'],
  tls_self_signed: [false, 'not-applied'],
  tls_wrong_protocol: [false, 'not-applied'],
  bad_url: [false],
  unsupported_protocol: [false],
  abort: [false],
  maxContentLength: [false, 'unknown'],
  'ETIMEDOUT clarify': [true, 'unknown'],
};

const file = new URL('fixtures/recorded-http.json', import.meta.url);
const { results } = JSON.parse(readFileSync(file, 'utf8')) as { results: Recorded[] };
// fetch refuses port 1 by itself: nothing was refused there.
const rows = results.filter((row) => !(row.case === 'refused' && row.client === 'fetch'));

it.each(rows.map((row) => [row.case, row.client, row] as const))(
  'recorded: %s, %s',
  (name, _, row) => {
    const [transient, outcome] = EXPECTED[name] ?? [];
    const failure = classifyHttp(thrown(row.error), 'sent');
    expect(failure.transient).toBe(transient);
    if (outcome !== undefined) expect(failure.outcome).toBe(outcome);
  },
);

/** Of its class, where that counts. */
function thrown({ name, ...fields }: Recorded['error']): unknown {
  if (name !== 'TypeError') return { name, ...fields };
  const { message, ...rest } = fields;
  return Object.assign(new TypeError(String(message)), rest);
}

it('covers every case that was recorded', () => {
  expect([...new Set(results.map((row) => row.case))].sort()).toEqual(Object.keys(EXPECTED).sort());
});
