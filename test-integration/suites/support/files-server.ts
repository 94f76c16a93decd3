import { createHash, randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Arrived } from '../../servers/index.js';

/** How a file is served. */
export interface Serving {
  /** Sent with each answer; a function makes one anew each time. Default none. */
  etag?: string | (() => string);
  /** Whether `Range` is honoured (and `If-Range`, where there is an ETag). Default true. */
  ranges?: boolean;
  /** Whether the answer says how long it is. Default true. */
  length?: boolean;
  /** After so many bytes of a body, in turn, it ends: by a reset, or cleanly as if it were whole. */
  cuts?: number[];
  cleanCuts?: boolean;
}

/** A file in memory, served as servers do it, or as they should not. */
export class ServedFile {
  readonly bytes: Buffer;
  readonly sha256: string;
  /** Bytes of bodies that were given to the wire. */
  sent = 0;
  #serving: Serving;

  constructor(size: number, serving: Serving = {}) {
    this.bytes = randomBytes(size);
    this.sha256 = createHash('sha256').update(this.bytes).digest('hex');
    this.#serving = serving;
  }

  serve(serving: Serving): void {
    this.#serving = { ...this.#serving, ...serving };
  }

  answer(request: Arrived, response: ServerResponse): void {
    const { ranges = true, length = true, cuts = [], cleanCuts = false } = this.#serving;
    const { etag: given } = this.#serving;
    const etag = typeof given === 'function' ? given() : given;
    const asked = /^bytes=(\d+)-$/.exec(`${request.headers.range}`)?.[1];
    const current =
      request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
    const from = ranges && asked !== undefined && current ? Number(asked) : 0;
    const part = ranges && asked !== undefined && current;
    const total = this.bytes.length;
    if (part && from >= total) {
      response.writeHead(416, { 'content-range': `bytes */${total}` }).end();
      return;
    }
    const body = this.bytes.subarray(from);
    response.writeHead(part ? 206 : 200, {
      'content-type': 'application/octet-stream',
      ...(length && { 'content-length': body.length }),
      ...(etag !== undefined && { etag }),
      ...(part && { 'content-range': `bytes ${from}-${total - 1}/${total}` }),
    });
    const cut = cuts.shift();
    const piece = cut === undefined ? body : body.subarray(0, cut);
    this.sent += piece.length;
    if (cut === undefined || cut >= body.length) response.end(body);
    else if (cleanCuts) response.end(piece);
    // The client has all of it before it is cut.
    else response.write(piece, () => setTimeout(() => response.destroy(), 30));
  }
}
