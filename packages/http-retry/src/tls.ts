import type { Meaning } from './statuses.js';

/**
 * What OpenSSL says of a connection, as words: Node puts them into the code (`ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED`)
 * or, if it was writing, into the message of an `EPROTO`. First match counts.
 */
const SAYINGS: readonly (readonly [RegExp, Meaning])[] = [
  // A bit flipped on the way, here or there.
  [/bad record mac|decryption failed|cipher operation failed/, ['network', true, 'unknown']],
  // The server does not let us in. TLS 1.3 tells of it when the request is on its way; the server never looks at that.
  [
    /alert (?:(?:bad |unsupported )?certificate|unknown ca|access denied)/,
    ['auth', false, 'not-applied'],
  ],
  // The two have no protocol in common: nothing was sent.
  [
    /alert (?:handshake failure|protocol version|insufficient security|unrecognized name|no application protocol)|wrong version number|unsupported protocol|no shared cipher/,
    ['invalid', false, 'not-applied'],
  ],
  [/./, ['invalid', false, 'unknown']],
];

/** What an error of OpenSSL means, or undefined if it is none. */
export function tlsMeaning(code: string, message: string): Meaning | undefined {
  // A key or a certificate of the caller's that cannot be read.
  if (code.startsWith('ERR_OSSL_')) return ['invalid', false, 'not-applied'];
  if (code !== 'EPROTO' && !code.startsWith('ERR_SSL_')) return undefined;
  const said = `${code.replaceAll('_', ' ')} ${message}`.toLowerCase();
  return SAYINGS.find(([saying]) => saying.test(said))?.[1];
}
