import { OutlastError } from '@outlast/core-retry';

/** A body ended before it was complete, and nothing but its length says so. */
export class IncompleteBodyError extends OutlastError {
  /** Bytes that are there. */
  readonly bytes: number;
  /** Bytes that there should be; undefined if only the answer's form was wrong. */
  readonly expected: number | undefined;

  constructor(bytes: number, expected: number | undefined, why?: string) {
    const problem = why ?? `${bytes} of ${expected} bytes came`;
    super('OUTLAST_INCOMPLETE_BODY', `The file did not arrive whole: ${problem}.`);
    this.bytes = bytes;
    this.expected = expected;
  }
}

/** The server has a file of another size than was expected. */
export class WrongSizeError extends OutlastError {
  readonly size: number;
  readonly expectedSize: number;

  constructor(size: number, expectedSize: number) {
    super(
      'OUTLAST_WRONG_SIZE',
      `The server's file has ${size} bytes or more, not the ${expectedSize} that were expected. It is another file, or it has changed: ask again what size it has.`,
    );
    this.size = size;
    this.expectedSize = expectedSize;
  }
}

/** All bytes are there, and they are the wrong ones. */
export class HashMismatchError extends OutlastError {
  readonly sha256: string;
  readonly expected: string;

  constructor(sha256: string, expected: string) {
    super(
      'OUTLAST_HASH_MISMATCH',
      `The file's SHA-256 is ${sha256}, not ${expected}. It was thrown away.`,
    );
    this.sha256 = sha256;
    this.expected = expected;
  }
}

/** A page came where a file was expected: most likely somebody wants a login. */
export class UnexpectedHtmlError extends OutlastError {
  constructor(host: string) {
    super(
      'OUTLAST_UNEXPECTED_HTML',
      `${host} answered with an HTML page instead of the file, as login pages and proxies do. Check the URL and the credentials; if the file is HTML, say html: true.`,
    );
  }
}

/** A redirect that is not followed. */
export class RedirectRefusedError extends OutlastError {
  constructor(why: string) {
    super('OUTLAST_REDIRECT_REFUSED', `A redirect was not followed: ${why}.`);
  }
}

/** The body is packed although it was asked for as it is: such bytes can neither be counted nor resumed. */
export class EncodedBodyError extends OutlastError {
  constructor(encoding: string) {
    super(
      'OUTLAST_ENCODED_BODY',
      `The server packed the file (Content-Encoding: ${encoding}) although it was asked not to. Turn that off for files, or fetch it with axios.`,
    );
  }
}

/** There is no room for the file. What had arrived of it was removed. `code` is `ENOSPC`. */
export class DiskFullError extends OutlastError {
  constructor(path: string, cause: unknown) {
    super('ENOSPC', `There is no room left for ${path}. What had arrived of it was removed.`, {
      cause,
    });
  }
}

/** True for {@link DiskFullError}, also from another copy of the package. */
export function isDiskFullError(error: unknown): error is DiskFullError {
  return (
    error instanceof Error &&
    error.name === 'DiskFullError' &&
    (error as { code?: unknown }).code === 'ENOSPC'
  );
}
