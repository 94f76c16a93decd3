import type { Readable } from 'node:stream';
import { redact } from '@outlast/core-retry/connector';
import { AxiosError, type AxiosResponse, type InternalAxiosRequestConfig } from 'axios';

const TEXT_BYTES = 8192;
const TEXT_MS = 2000;

/** The error of an answer that is no file, as axios would make it; of its body a few kilobytes of text. */
export async function refusal(response: AxiosResponse<Readable>): Promise<AxiosError> {
  const { status } = response;
  const text = await beginning(response.data);
  const code = status >= 500 ? AxiosError.ERR_BAD_RESPONSE : AxiosError.ERR_BAD_REQUEST;
  return new AxiosError(
    `Request failed with status code ${status}`,
    code,
    response.config as InternalAxiosRequestConfig,
    response.request,
    // Some servers say back what they were told.
    { ...response, data: redact(text) },
  );
}

/** What a body begins with, as far as it comes soon; the rest is not read. */
function beginning(body: Readable): Promise<string> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const done = (): void => {
      clearTimeout(timer);
      body.destroy();
      resolve(Buffer.concat(pieces).subarray(0, TEXT_BYTES).toString());
    };
    const timer = setTimeout(done, TEXT_MS);
    body.on('data', (piece: Buffer) => {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes >= TEXT_BYTES) done();
    });
    body.on('end', done);
    body.on('error', done);
    body.on('close', done);
  });
}
