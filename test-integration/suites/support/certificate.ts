import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** A certificate and its key, both in PEM. */
export interface Certificate {
  readonly subject: string;
  readonly key: string;
  readonly cert: string;
}

export interface CertificateOptions {
  /** Who signs it. Default: it signs itself. */
  readonly issuer?: Certificate;
  /** The host that it is for: a name or an IPv4 address. Default 127.0.0.1. */
  readonly host?: string;
  /** The end of its last day. Default in ten years. */
  readonly notAfter?: Date;
}

const DAY_MS = 86_400_000;
const TEN_YEARS_MS = 3650 * DAY_MS;

/** A certificate that protects nothing, made here: its key is thrown away with the process. */
export function makeCertificate(subject: string, options: CertificateOptions = {}): Certificate {
  const { issuer, host = '127.0.0.1', notAfter = new Date(Date.now() + TEN_YEARS_MS) } = options;
  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const notBefore = new Date(Math.min(Date.now(), notAfter.getTime()) - DAY_MS);
  const unsigned = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_WITH_SHA256,
    nameOf(issuer?.subject ?? subject),
    sequence(utcTime(notBefore), utcTime(notAfter)),
    nameOf(subject),
    pair.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensionsOf(host, issuer === undefined))),
  );
  const signature = sign('sha256', unsigned, issuer?.key ?? key);
  const der = sequence(unsigned, ECDSA_WITH_SHA256, bits(signature));
  const lines = der.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return {
    subject,
    key,
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
  };
}

/** RFC 5280, 4.2.1: whom it is for, and whether it may sign others. */
function extensionsOf(host: string, authority: boolean): Buffer[] {
  const name = isIP(host) ? tagged(0x87, Buffer.from(host.split('.').map(Number))) : dns(host);
  const forHost = sequence(oid(0x55, 0x1d, 0x11), octets(sequence(name)));
  if (!authority) return [forHost];
  const yes = tagged(0x01, Buffer.from([0xff]));
  return [forHost, sequence(oid(0x55, 0x1d, 0x13), yes, octets(sequence(yes)))];
}

function nameOf(commonName: string): Buffer {
  const text = tagged(0x0c, Buffer.from(commonName));
  return sequence(tagged(0x31, sequence(oid(0x55, 0x04, 0x03), text)));
}

/** Of years until 2049, which is as far as it goes. */
function utcTime(date: Date): Buffer {
  const digits = date.toISOString().replace(/\D/g, '').slice(2, 14);
  return tagged(0x17, Buffer.from(`${digits}Z`));
}

// DER, as far as a certificate needs it.

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function oid(...bytes: number[]): Buffer {
  return tagged(0x06, Buffer.from(bytes));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function octets(content: Buffer): Buffer {
  return tagged(0x04, content);
}

function bits(content: Buffer): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.from([0]), content]));
}

function dns(host: string): Buffer {
  return tagged(0x82, Buffer.from(host));
}

const ECDSA_WITH_SHA256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
