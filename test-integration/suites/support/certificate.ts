import { isIP } from 'node:net';
import { generate } from 'selfsigned';

/** A certificate and its key, both in PEM. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export interface CertificateOptions {
  /** Who signs it. Default: it signs itself. */
  readonly issuer?: Certificate;
  /** The host that it is for: a name or an address. Default 127.0.0.1. */
  readonly host?: string;
  /** The end of its last day. Default in ten years. */
  readonly notAfter?: Date;
}

const DAY_MS = 86_400_000;
const TEN_YEARS_MS = 3650 * DAY_MS;

/** A certificate that protects nothing: its key is thrown away with the process. */
export async function makeCertificate(
  subject: string,
  options: CertificateOptions = {},
): Promise<Certificate> {
  const { issuer, host = '127.0.0.1', notAfter = new Date(Date.now() + TEN_YEARS_MS) } = options;
  const forHost =
    isIP(host) === 0 ? { type: 2 as const, value: host } : { type: 7 as const, ip: host };
  const { private: key, cert } = await generate([{ name: 'commonName', value: subject }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Math.min(Date.now(), notAfter.getTime()) - DAY_MS),
    notAfterDate: notAfter,
    extensions: [
      { name: 'basicConstraints', cA: issuer === undefined },
      { name: 'subjectAltName', altNames: [forHost] },
    ],
    ...(issuer === undefined ? {} : { ca: issuer }),
  });
  return { key, cert };
}
