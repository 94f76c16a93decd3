import type { Meaning } from './statuses.js';

const MISUSE: Meaning = ['invalid', false, 'not-applied'];
const GARBLED: Meaning = ['invalid', false, 'unknown'];
const CUT: Meaning = ['network', true, 'unknown'];

/**
 * Codes beyond those of the system, and those that mean something else here. Sources: `AxiosError` of
 * axios 1.7 to 1.21, `follow-redirects`, undici 7, got 14, Node's `errors`, `zlib` and `llhttp`.
 */
const CODES: Readonly<Record<string, Meaning>> = {
  ERR_CANCELED: ['cancelled', false, 'unknown'],
  ERR_BAD_OPTION: MISUSE,
  ERR_BAD_OPTION_VALUE: MISUSE,
  ERR_INVALID_URL: MISUSE,
  ERR_NOT_SUPPORT: MISUSE,
  ERR_DEPRECATED: MISUSE,
  ERR_FORM_DATA_DEPTH_EXCEEDED: MISUSE,
  ERR_UNESCAPED_CHARACTERS: MISUSE,
  ERR_INVALID_CHAR: MISUSE,
  ERR_FR_MAX_BODY_LENGTH_EXCEEDED: MISUSE,
  ERR_FR_TOO_MANY_REDIRECTS: GARBLED,
  ERR_FR_REDIRECTION_FAILURE: GARBLED,
  // got's
  ERR_TOO_MANY_REDIRECTS: GARBLED,
  ERR_BODY_PARSE_FAILURE: GARBLED,
  ERR_UNSUPPORTED_PROTOCOL: MISUSE,
  ERR_NETWORK: CUT,
  // A certificate that is not accepted: nothing of the request was sent, and the next one fails as well.
  DEPTH_ZERO_SELF_SIGNED_CERT: MISUSE,
  SELF_SIGNED_CERT_IN_CHAIN: MISUSE,
  HOSTNAME_MISMATCH: MISUSE,
  // A body whose packing is broken.
  Z_DATA_ERROR: CUT,
  Z_BUF_ERROR: CUT,
  UND_ERR_ABORTED: ['cancelled', false, 'unknown'],
  UND_ERR_CLOSED: ['cancelled', false, 'not-applied'],
  UND_ERR_DESTROYED: ['cancelled', false, 'unknown'],
  UND_ERR_INVALID_ARG: MISUSE,
  UND_ERR_NOT_SUPPORTED: MISUSE,
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: MISUSE,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: CUT,
  UND_ERR_HEADERS_OVERFLOW: GARBLED,
  UND_ERR_RES_EXCEEDED_MAX_SIZE: GARBLED,
};

/** As {@link CODES}, for families of them. */
const FAMILIES: readonly (readonly [RegExp, Meaning])[] = [
  [/^(CERT_|UNABLE_TO_|ERR_TLS_)/, MISUSE],
  [/^HPE_/, GARBLED],
];

/** What a code means, or undefined if it is the system's, or a stranger's. */
export function codeMeaning(code: string): Meaning | undefined {
  if (Object.hasOwn(CODES, code)) return CODES[code];
  return FAMILIES.find(([family]) => family.test(code))?.[1];
}

/** The codes after which a request may be repeated, if its outcome and its method allow it. */
export const RETRYABLE_ERROR_CODES: readonly string[] = Object.freeze([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ERR_SOCKET_CONNECTION_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_SOCKET',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  ...Object.entries(CODES).flatMap(([code, [, transient]]) => (transient ? [code] : [])),
]);
