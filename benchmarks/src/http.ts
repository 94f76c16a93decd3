import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { download, withRetry } from '@outlast/http-retry';
import axios from 'axios';
import axiosRetry from 'axios-retry';
import { compare, print, type Result, workers } from './harness.js';

const MS_PER_ROUND = 500;
const AT_LEAST_90_PERCENT = 1.112;
const FILE_BYTES = 50_000_000;

/** Requests against plain axios, and files against its stream with a hash, from one server in this process. */
export async function benchHttp(): Promise<{ readonly ok: boolean; readonly results: Result[] }> {
  const file = Buffer.alloc(FILE_BYTES, 'outlast');
  const server = createServer((request, response) => {
    const body = request.url === '/file' ? file : Buffer.from('{"answer":42}');
    response.writeHead(200, { 'content-length': body.length, etag: '"1"' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const folder = await mkdtemp(join(tmpdir(), 'outlast-bench-'));
  const results = [...(await requests(server)), ...(await files(server, folder))];
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true, force: true });
  return { ok: results.map(print).every(Boolean), results };
}

async function requests(server: Server): Promise<Result[]> {
  const httpAgent = new Agent({ keepAlive: true });
  const plain = axios.create({ baseURL: urlOf(server), httpAgent });
  const ours = withRetry(plain);
  const theirs = axios.create({ baseURL: urlOf(server), httpAgent });
  axiosRetry(theirs, { retries: 3 });
  const results: Result[] = [];
  for (const count of [1, 20]) {
    results.push(
      await versus(
        `GET of a small JSON, ${count} worker(s)`,
        workers('axios', count, () => plain.get('/')),
        [
          workers('http-retry', count, () => ours.get('/')),
          workers('axios-retry', count, () => theirs.get('/')),
        ],
        MS_PER_ROUND,
      ),
    );
  }
  httpAgent.destroy();
  return results;
}

async function files(server: Server, folder: string): Promise<Result[]> {
  const url = `${urlOf(server)}/file`;
  let number = 0;
  const next = (): string => join(folder, `${number++ % 8}.bin`);
  const results: Result[] = [];
  for (const count of [1, 4]) {
    results.push(
      await versus(
        `50 MB to disk with SHA-256, ${count} at a time`,
        workers('axios', count, () => streamed(url, next())),
        // axios' stream is not brought to the disk either.
        [workers('http-retry', count, () => download(url, next(), { sha256: true, fsync: false }))],
        MS_PER_ROUND * 2,
      ),
    );
  }
  return results;
}

/** What an application writes with axios. */
async function streamed(url: string, path: string): Promise<string> {
  const { data } = await axios.get<Readable>(url, { responseType: 'stream' });
  const hash = createHash('sha256');
  data.on('data', (piece: Buffer) => hash.update(piece));
  await pipeline(data, createWriteStream(path));
  return hash.digest('hex');
}

function versus(
  what: string,
  plain: ReturnType<typeof workers>,
  others: ReturnType<typeof workers>[],
  ms: number,
): Promise<Result> {
  const gate = { subject: 'http-retry', against: 'axios', atMost: AT_LEAST_90_PERCENT };
  return compare(`http: ${what}`, plain, others, [gate], ms);
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
